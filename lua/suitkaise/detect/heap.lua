--- What an analysed function does to the tables that it reaches: which fields
-- of self it reads and writes, and which of them may share a table.
--
-- Everything here only grows, so the analysis may be repeated until nothing
-- changes (`changed`).
-- @module suitkaise.detect.heap

-- Each function is analysed once: compiled code would only take the place of
-- the host's.
if rawget(_G, "jit") then jit.off(true, true) end

local aliases = require "suitkaise.detect.aliases"
local effects = require "suitkaise.detect.effects"
local fresh = require "suitkaise.detect.fresh"
local places = require "suitkaise.detect.places"
local Universe = require "suitkaise.detect.value"
local each = require "suitkaise.each"

local Heap = setmetatable({}, { __index = places })
Heap.__index = Heap

local ANYWHERE = aliases.ANYWHERE

--- @param class of self; may be nil
--- @param shared what the methods of its class do to one another: see
--   suitkaise.detect.aliases
function Heap.new(class, shared)
  local u = Universe.new()
  return setmetatable({
    u = u, class = class, aliases = shared,
    reads = {}, writes = {}, reads_all = false, writes_all = false,
    shallow = {}, deep = {}, instances = {}, at = nil,
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

--- A table of a field changes, for every field that holds it: the field's
-- own, or one that is deeper down.
function Heap:write(name, is_shallow)
  if name == ANYWHERE then return self:write_everything() end
  self:mark(self.writes, name)
  self:mark(is_shallow and self.shallow or self.deep, name)
end

--- A field is set to something else: tables stay as they are.
function Heap:rebind(name) self:mark(self.writes, name) end

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

-- ---- loads ----

local function path_to(object, key)
  return (object.name or object.label) .. "."
    .. (key == nil and "[]" or tostring(key))
end

local function load_field(self, object)
  self:read(object.name)
  local set = self.u:deep_field(object.name)
  if self:is_held(object.name) then
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
    elseif kind == "new" then
      found = object.contents
      fresh.read_back(self, found)
    elseif kind == "outside" then found = self:load_outside(object) end
    result = self.u:union(result, found)
  end
  return result
end

--- What a table that was made here has under a key.
function Heap:load_new(object, key)
  local set = object.contents
  if key ~= nil then
    set = self.u:union(object.dynamic, object.keyed[key])
  end
  fresh.read_back(self, set)
  return self.u:union(set, self.u.scalar)
end

--- A field of self by its name, without metamethods.
function Heap:load_own(name)
  self:read(name)
  local set = self.u:field(name)
  if not self:is_held(name) then return set end
  return self.u:union(set, self.u.self)
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

local function store_outside(self, object, key, set)
  self:mark(object, "is_written")
  self:mark(self.outside_writes, path_to(object, key))
  local function touch(name)
    self:write(name)
    self:place(set, name)
  end
  self:visit_places(object, touch)
  self:hold(object, set)
  self:escape(set)
end

local function has(set, object)
  for _, other in ipairs(set.objects) do
    if other == object then return true end
  end
  return false
end

local function store_new(self, object, key, set)
  for _, held in ipairs(set.objects) do
    if fresh.keep(self, held, object) then self.changed = true end
  end
  if key == "__index" and has(set, object) then self.has_made_class = true end
  self:add(object, "contents", set)
  if key ~= nil then self:add(object.keyed, key, set)
  else self:add(object, "dynamic", set) end
  if object.is_instance then
    if key ~= nil then note_kind(self, key, set) end
    self:place(set, key == nil and ANYWHERE or key)
  end
  -- The table is of this call: what else holds it is among its places.
  local names = {} -- `object` may be in `set`: it may get more of them
  for name in each(object.places or {}) do names[name] = true end
  for name in each(names) do
    if name == ANYWHERE then self:write_everything()
    else self:rebind(name) end
    self:place(set, name, object)
  end
  if object.has_escaped then self:escape(set) end
end

-- A key that was made here or hangs on self: it can be reached by a loop over
-- the table that it is put into.
local function tables_in(self, key_set)
  local result = self.u.nothing
  for _, object in ipairs(key_set and key_set.objects or {}) do
    if self.is_shareable(object) and object.kind ~= "outside" then
      result = self.u:union(result, object.alone)
    end
  end
  return result
end

--- A field of the class is set: objects have it that have none of their own.
function Heap:set_default(key, value)
  if type(key) == "string" and key:sub(1, 2) == "__" then return end
  if key ~= nil then note_kind(self, key, value) end
  self:place(value, key == nil and ANYWHERE or key)
  self:reach(value, function(object)
    if self.is_some_self(object) then
      self:mark(self.aliases.held, key == nil and ANYWHERE or key)
    end
  end)
end

--- Put a value into everything of a set. `key` is nil when it is not known,
-- `key_set` what it may be.
function Heap:store(set, key, value, key_set)
  self.u:spend(set.objects)
  value = self.u:union(value, tables_in(self, key_set))
  for _, object in ipairs(set.objects) do
    local kind = object.kind
    if kind == "self" and key ~= nil then
      self:rebind(key)
      note_kind(self, key, value)
      self:place(value, key)
    elseif kind == "self" or kind == "part" then
      self:write_everything()
      self:place(value, ANYWHERE)
    elseif kind == "field" then
      self:mark(self.aliases.tables, object.name)
      self:read(object.name)
      self:write(object.name, not object.is_deep)
      self:place(value, object.name, nil, true)
    elseif kind == "new" then
      store_new(self, object, key, value)
    elseif kind == "outside" then
      store_outside(self, object, key, value)
    end
  end
end

-- ---- escapes ----

local function escape_new(self, object)
  for name in each(object.places or {}) do self:write(name) end
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
      if self:is_held(object.name) then self:lose_self() end
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
  self:visit_places(object, function(name) self:write(name) end, true)
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
      for name in each(object.places or {}) do names[#names + 1] = name end
      if object.kind == "new" then visit(object.contents) end
    end
  end
  visit(set)
  for i = 2, #names do self:link(names[1], names[i]) end
end

--- -> the fields that are read, and that are written: sets, or "all"
Heap.effects = effects

return Heap
