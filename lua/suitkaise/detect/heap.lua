--- What an analysed function does to the tables that it reaches: which fields
-- of self it reads and writes, and which of them may share a table.
--
-- Everything here only grows, so the analysis may be repeated until nothing
-- changes (`changed`).
-- @module suitkaise.detect.heap

-- Each function is analysed once: compiled code would only take the place of
-- the host's.
if rawget(_G, "jit") then jit.off(true, true) end

local Universe = require "suitkaise.detect.value"

local Heap = {}
Heap.__index = Heap

-- The name of a field that is not known.
local ANYWHERE = {}

--- What the methods of a class do to one another: fields that may share a
-- table (`links`), from which self can be reached (`held`), or that may hold
-- a table that was there before (`outside`), or that may be inside of any
-- other field or around it (`near`); fields that are set to numbers or
-- strings (`numbers`), and such as may hold tables (`tables`); whether all
-- of them may (`is_all`), or too much is not known for an answer
-- (`is_unknown`).
function Heap.no_aliases()
  return {
    links = {}, held = {}, near = {},
    outside = setmetatable({}, { __mode = "k" }), is_all = false,
    is_unknown = false,
    numbers = {}, tables = {},
  }
end

--- @param class of self; may be nil
--- @param aliases of its class
function Heap.new(class, aliases)
  local u = Universe.new()
  return setmetatable({
    u = u, class = class, aliases = aliases,
    reads = {}, writes = {}, reads_all = false, writes_all = false,
    outside_reads = {}, outside_writes = {},
    leaked = u.nothing, raised = u.nothing,
    changed = false,
  }, Heap)
end

function Heap:mark(set, key)
  if set[key] then return end
  set[key] = true
  self.changed = true
end

function Heap:read_everything() self:mark(self, "reads_all") end
function Heap:write_everything() self:mark(self, "writes_all") end

function Heap:read(name)
  if name == ANYWHERE then return self:read_everything() end
  self:mark(self.reads, name)
end

function Heap:write(name)
  if name == ANYWHERE then return self:write_everything() end
  self:mark(self.writes, name)
end

--- Self is out of sight: anything may happen to it.
function Heap:lose_self()
  self:read_everything()
  self:write_everything()
end

--- Add a set to one that is kept in a field of a table.
function Heap:add(owner, key, set)
  local before = owner[key]
  local after = self.u:union(before or self.u.nothing, set)
  if after ~= before then
    owner[key] = after
    self.changed = true
  end
end

-- ---- fields that share tables ----

function Heap:link(a, b)
  if a == b then return end
  local links = self.aliases.links
  links[a], links[b] = links[a] or {}, links[b] or {}
  self:mark(links[a], b)
  self:mark(links[b], a)
end

-- Is it possible to change it in place, so that sharing it matters?
local function is_shareable(object)
  return object.kind ~= "scalar" and object.kind ~= "key"
    and type(object.value) ~= "function"
end

local function link_places(self, object, name)
  for other in pairs(object.places or {}) do self:link(name, other) end
end

local function link_relative(self, relative, name)
  for other in pairs(relative.places or {}) do
    if name == other or name ~= ANYWHERE and other ~= ANYWHERE then
      self:link(name, other)
    else
      self:mark(self.aliases.near, name == ANYWHERE and other or name)
    end
  end
end

-- A part of an argument is inside the argument.
local function link_relatives(self, object, name)
  local above = object.parent
  while above do
    link_relative(self, above, name)
    above = above.parent
  end
  for _, child in ipairs(object.children or {}) do
    link_relative(self, child, name)
  end
end

local function place_at(self, object, name)
  object.places = object.places or {}
  if object.places[name] then return end
  self:mark(object.places, name)
  link_places(self, object, name)
  if object.kind == "new" then
    self:place(object.contents, name)
    self:add(object, "contents", self.u:field(name))
    self:add(object, "dynamic", self.u:field(name))
  elseif object.kind == "closure" then
    self:place(object.unit:captured(), name)
  else
    link_relatives(self, object, name)
    if object.value ~= nil then
      local outside = self.aliases.outside
      outside[object.value] = outside[object.value] or {}
      self:mark(outside[object.value], name)
    end
  end
end

--- A value is now reachable from self under a name.
function Heap:place(set, name)
  self.u:spend(set.objects)
  for _, object in ipairs(set.objects) do
    local kind = object.kind
    if kind == "self" then self:mark(self.aliases.held, name)
    elseif kind == "part" then self:mark(self.aliases, "is_all")
    elseif kind == "field" then self:link(name, object.name)
    elseif is_shareable(object) then place_at(self, object, name)
    end
  end
end

-- The fields in which a thing that was there before may be, or which may be in
-- it.
local function places_of(self, object, visit)
  while object do
    for name in pairs(object.places or {}) do visit(name) end
    local outside = self.aliases.outside[object.value or false]
    for name in pairs(outside or {}) do visit(name) end
    object = object.parent
  end
end

--- `set` was found in `object`, which was there before: it may be in the same
-- fields.
function Heap:inherit(object, set)
  places_of(self, object, function(name)
    self:read(name)
    for _, child in ipairs(set.objects) do
      if is_shareable(child) then
        child.places = child.places or {}
        self:mark(child.places, name)
      end
    end
  end)
end

-- ---- loads ----

local function path_to(object, key)
  return (object.name or object.label) .. "."
    .. (key == nil and "[]" or tostring(key))
end

-- Can self be reached from a field?
local function is_held(self, name)
  return self.aliases.held[name] or self.aliases.held[ANYWHERE]
end

local function load_field(self, object)
  self:read(object.name)
  local set = object.alone
  if is_held(self, object.name) then
    set = self.u:union(set, self.u.self)
  end
  return set
end

local function load_part(self)
  self:read_everything()
  if next(self.aliases.held) == nil then return self.u.part end
  return self.u:union(self.u.part, self.u.self)
end

--- What every thing that hangs on a set may be, whatever the key.
function Heap:load_any(set)
  local result = self.u.scalar
  for _, object in ipairs(set.objects) do
    local kind, found = object.kind, nil
    if kind == "self" or kind == "part" then found = load_part(self)
    elseif kind == "field" then
      self:mark(self.aliases.tables, object.name)
      found = load_field(self, object)
    elseif kind == "new" then found = object.contents
    elseif kind == "outside" then found = self:load_outside(object) end
    result = self.u:union(result, found)
  end
  return result
end

--- What a table that was made here has under a key.
function Heap:load_new(object, key)
  if key == nil then return self.u:union(object.contents, self.u.scalar) end
  local set = self.u:union(object.dynamic, object.keyed[key])
  return self.u:union(set, self.u.scalar)
end

--- A field of self by its name, without metamethods.
function Heap:load_own(name)
  return load_field(self, self.u:field(name).objects[1])
end

--- Part of something that was there before.
function Heap:load_outside(object, key)
  if type(object.value) == "function" then return self.u.nothing end
  if not object.is_result then
    self:mark(self.outside_reads, path_to(object, key))
  end
  local set = self.u:below(object, key)
  self:inherit(object, set)
  return set
end

-- ---- stores ----

-- Keep in mind what a field is set to: see `is_plain`.
local function note_kind(self, name, set)
  local is_number = false
  for _, object in ipairs(set.objects) do
    if object.kind == "key" or object.is_number then is_number = true
    elseif object.kind ~= "scalar" and object.name ~= name then
      return self:mark(self.aliases.tables, name)
    end
  end
  if is_number then self:mark(self.aliases.numbers, name) end
end

-- What was there before now has tables of self in it.
local function place_fields(self, object, set)
  for _, held in ipairs(set.objects) do
    if held.kind == "field" then place_at(self, object, held.name) end
    for name in pairs(held.places or {}) do place_at(self, object, name) end
  end
end

local function store_outside(self, object, key, set)
  self:mark(object, "is_written")
  self:mark(self.outside_writes, path_to(object, key))
  local function touch(name)
    self:write(name)
    self:place(set, name)
  end
  places_of(self, object, touch)
  place_fields(self, object, set)
  self:escape(set)
end

local function has(set, object)
  for _, other in ipairs(set.objects) do
    if other == object then return true end
  end
  return false
end

local function store_new(self, object, key, set)
  if key == "__index" and has(set, object) then self.has_made_class = true end
  self:add(object, "contents", set)
  if key ~= nil then self:add(object.keyed, key, set)
  else self:add(object, "dynamic", set) end
  if object.is_instance and key ~= nil then
    note_kind(self, key, set)
    self:place(set, key)
  end
  for name in pairs(object.places or {}) do
    self:write(name)
    self:place(set, name)
  end
  if object.has_escaped then self:escape(set) end
end

-- A key that was made here or hangs on self: it can be reached by a loop over
-- the table that it is put into.
local function tables_in(self, key_set)
  local result = self.u.nothing
  for _, object in ipairs(key_set and key_set.objects or {}) do
    if is_shareable(object) and object.kind ~= "outside" then
      result = self.u:union(result, object.alone)
    end
  end
  return result
end

--- Put a value into everything of a set. `key` is nil when it is not known,
-- `key_set` what it may be.
function Heap:store(set, key, value, key_set)
  self.u:spend(set.objects)
  value = self.u:union(value, tables_in(self, key_set))
  for _, object in ipairs(set.objects) do
    local kind = object.kind
    if kind == "self" and key ~= nil then
      self:write(key)
      note_kind(self, key, value)
      self:place(value, key)
    elseif kind == "self" or kind == "part" then
      self:write_everything()
      self:place(value, ANYWHERE)
    elseif kind == "field" then
      self:mark(self.aliases.tables, object.name)
      self:read(object.name)
      self:write(object.name)
      self:place(value, object.name)
    elseif kind == "new" then
      store_new(self, object, key, value)
    elseif kind == "outside" then
      store_outside(self, object, key, value)
    end
  end
end

-- ---- escapes ----

local function escape_new(self, object)
  for name in pairs(object.places or {}) do self:write(name) end
  if object.has_escaped then return end
  object.has_escaped = true
  self.changed = true
end

--- Something unknown has a value, now or later: what it may do to it.
-- Closures are called with `given`, what else the unknown has.
function Heap:escape(set, given, seen)
  seen = seen or {}
  if seen[set] then return end
  seen[set] = true
  self.u:spend(set.objects)
  for _, object in ipairs(set.objects) do
    local kind = object.kind
    if kind == "self" or kind == "part" then
      self:lose_self()
    elseif kind == "field" then
      self:read(object.name)
      self:write(object.name)
      if is_held(self, object.name) then self:lose_self() end
    elseif kind == "new" then
      escape_new(self, object)
      self:escape(object.contents, given, seen)
    elseif kind == "closure" then
      self.let_escape(object, given)
    elseif kind == "outside" then
      self:escape_outside(object)
    end
  end
end

function Heap:escape_outside(object)
  if type(object.value) == "function" then return end
  places_of(self, object, function(name) self:write(name) end)
end

--- The caller gets a value: returned or raised. It may use what hangs on self
-- as it likes, but self itself is out of sight then.
function Heap:hand_out(set, seen)
  seen = seen or {}
  if seen[set] then return end
  seen[set] = true
  self.u:spend(set.objects)
  for _, object in ipairs(set.objects) do
    if object.kind == "self" then
      self:lose_self()
    elseif object.kind == "new" then
      self:hand_out(object.contents, seen)
    elseif object.kind == "closure" then
      self.let_escape(object)
      self:hand_out(object.unit:captured(), seen)
    end
  end
end

--- Link all the fields that something unknown is given at once: it may put
-- one into another.
function Heap:mix(set)
  local names, seen = {}, {}
  local function visit(value)
    if seen[value] then return end
    seen[value] = true
    self.u:spend(value.objects)
    for _, object in ipairs(value.objects) do
      if object.kind == "field" then names[#names + 1] = object.name end
      for name in pairs(object.places or {}) do names[#names + 1] = name end
      if object.kind == "new" then visit(object.contents) end
    end
  end
  visit(set)
  for i = 2, #names do self:link(names[1], names[i]) end
end

-- ---- the answer ----

-- A field that the class sets to numbers and strings only, and never looks
-- into, shares nothing.
local function is_plain(self, name)
  return self.aliases.numbers[name] and not self.aliases.tables[name]
end

-- A field's table may be another field's too; what is also in some field or
-- other is in any.
local function spread(self, names)
  local all, queue = {}, {}
  for name in pairs(self.aliases.links[ANYWHERE] or {}) do
    if not is_plain(self, name) then queue[#queue + 1] = name end
  end
  for name in pairs(names) do queue[#queue + 1] = name end
  while #queue > 0 do
    local name = table.remove(queue)
    if not all[name] then
      all[name] = true
      local links = self.aliases.links[name]
      for other in pairs(not is_plain(self, name) and links or {}) do
        if not is_plain(self, other) then queue[#queue + 1] = other end
      end
    end
  end
  return all
end

--- -> the fields that are read, and that are written: sets, or "all"
function Heap:effects()
  local writes = self.writes_all and "all" or self.writes
  if writes ~= "all" and next(writes) ~= nil then
    writes = spread(self, writes)
    local near = self.aliases.near
    local loses = self.aliases.is_all or self.aliases.is_unknown
      or writes[ANYWHERE]
    for name in pairs(writes) do
      loses = loses or is_held(self, name) or near[name]
    end
    if loses then writes = "all"
    else for name in pairs(near) do writes[name] = true end end
  end
  local reads = self.reads_all and "all" or self.reads
  -- What a field leads to is not known.
  if self.aliases.is_unknown and next(self.reads) then reads = "all" end
  return reads, writes
end

return Heap
