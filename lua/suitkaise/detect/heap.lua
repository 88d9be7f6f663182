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
local fresh = require "suitkaise.detect.fresh"
local Universe = require "suitkaise.detect.value"

local Heap = {}
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

-- ---- fields that share tables ----

local function add_link(self, links, a, b)
  links[a], links[b] = links[a] or {}, links[b] or {}
  self:mark(links[a], b)
  self:mark(links[b], a)
end

--- Two fields may hold the same table; `is_inside`: deeper down only.
function Heap:link(a, b, is_inside)
  if a == b then
    if a == ANYWHERE then self:mark(self.aliases, "is_all") end
    return
  end
  add_link(self, self.aliases.links, a, b)
  if not is_inside then add_link(self, self.aliases.same, a, b) end
end

-- The tables in which fields of self are looked up.
local function chain_of(class)
  local chain, t = {}, class
  for _ = 1, 20 do
    if type(t) ~= "table" or chain[t] then break end
    chain[t] = true
    local index = rawget(t, "__index")
    local meta = debug.getmetatable(t)
    t = type(index) == "table" and not rawequal(index, t) and index
      or type(meta) == "table" and rawget(meta, "__index") or nil
  end
  return chain
end

--- Is a value self's class, or one above it?
function Heap:is_class(value)
  self.chain = self.chain or chain_of(self.class)
  return value ~= nil and self.chain[value] ~= nil
end

-- Is it possible to change it in place, so that sharing it matters?
local function is_shareable(object)
  return object.kind ~= "scalar" and object.kind ~= "key"
    and type(object.value) ~= "function"
end

--- Visit all that can be reached from a set by way of what was made here.
function Heap:reach(set, visit, seen)
  seen = seen or {}
  if seen[set] then return end
  seen[set] = true
  self.u:spend(set.objects)
  for _, object in ipairs(set.objects) do
    visit(object)
    if object.kind == "new" then
      self:reach(object.contents, visit, seen)
    elseif object.kind == "closure" then
      self:reach(object.unit:captured(), visit, seen)
    end
  end
end

-- Is it self, in this call or in another?
local function is_some_self(object)
  return object.kind == "self" or object.kind == "part" or object.is_instance
end

local function link_places(self, object, name)
  for other in pairs(object.places) do
    if other ~= name then self:link(name, other) end
  end
  for other in pairs(object.holds or {}) do
    if other ~= name then self:link(name, other, true) end
  end
end

-- `part` is that of the two which is inside of the other.
local function link_relative(self, relative, name, part)
  for other in pairs(relative.places or {}) do
    if name == ANYWHERE and other == ANYWHERE then
      self:mark(self.aliases, part.is_direct and "is_all" or "is_all_inside")
    elseif name == other or name ~= ANYWHERE and other ~= ANYWHERE then
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
    link_relative(self, above, name, object)
    above = above.parent
  end
  for _, child in ipairs(object.children or {}) do
    link_relative(self, child, name, child)
  end
end

-- Another call may put the very same thing into another field, or what is in
-- a field into it.
local function keep(self, object, name)
  local kept = aliases.kept_by(self.aliases, object, true)
  if not kept then return end
  for other in pairs(kept) do
    if other ~= name then self:link(name, other) end
  end
  for other in pairs(aliases.held_by(self.aliases, object) or {}) do
    if other ~= name then self:link(name, other, true) end
  end
  self:mark(kept, name)
end

-- Under a name that is not known it is safe once, as long as the next time
-- it is another thing.
local function place_anywhere(self, object, container)
  local place = container and fresh.place_in(object, container)
    or fresh.place(self.at)
  if object.anywhere and object.anywhere ~= place
     or fresh.may_repeat(self, object, container) then
    self:mark(self.aliases, container and "is_all_inside" or "is_all")
  end
  object.anywhere = place
end

local function place_at(self, object, name, container)
  object.places = object.places or {}
  if name == ANYWHERE then place_anywhere(self, object, container) end
  if not container and not object.is_direct then
    object.is_direct = true
    self.changed = true
  end
  if object.places[name] then return end
  self:mark(object.places, name)
  link_places(self, object, name)
  if object.kind == "new" then
    self:place(object.contents, name, object)
    self:add(object, "contents", self.u:deep_field(name))
    self:add(object, "dynamic", self.u:deep_field(name))
  elseif object.kind == "closure" then
    self:place(object.unit:captured(), name, object)
  else
    link_relatives(self, object, name)
    keep(self, object, name)
  end
end

--- A value is now reachable from self under a name; by way of a `container`
-- that was made here, perhaps, or (`is_inside`) of what was there.
function Heap:place(set, name, container, is_inside)
  self.u:spend(set.objects)
  for _, object in ipairs(set.objects) do
    local kind = object.kind
    if kind == "self" then self:mark(self.aliases.held, name)
    elseif kind == "part" then self:mark(self.aliases, "is_all")
    elseif kind == "field" then
      -- What was put in by name gives the name back.
      if not container or object.name ~= name then
        self:link(name, object.name,
                  is_inside or container ~= nil or object.is_deep)
      end
    elseif is_shareable(object) and not self:is_class(object.value) then
      place_at(self, object, name, container)
    end
  end
end

-- The fields in which a thing that was there before may be, and those that
-- may be in it: such are also where a part of it may be (`is_inside`).
local function places_of(self, object, visit, is_inside)
  local function visit_all(names)
    for name in pairs(names or {}) do visit(name) end
  end
  while object do
    visit_all(object.places)
    visit_all(aliases.kept_by(self.aliases, object))
    if is_inside then
      visit_all(object.holds)
      visit_all(aliases.held_by(self.aliases, object))
    end
    object, is_inside = object.parent, true
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
        if name == ANYWHERE then child.anywhere = "inherited" end
      end
    end
  end, true)
end

--- Objects that were made here and can be reached from one of their fields.
function Heap:close_instances()
  for _, object in ipairs(self.instances) do
    local function look(name, set)
      self:reach(set, function(other)
        if other.is_instance then self:mark(self.aliases.held, name) end
      end)
    end
    for name, set in pairs(object.keyed) do look(name, set) end
    look(ANYWHERE, object.dynamic)
  end
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
  local set = self.u:deep_field(object.name)
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
  if not is_held(self, name) then return set end
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

-- What is found in a set: fields' tables by their names; self, as that of any.
local function names_in(self, set)
  local names = {}
  self:reach(set, function(held)
    if is_some_self(held) then names[ANYWHERE] = true end
    if held.kind == "field" then names[held.name] = true end
    for name in pairs(held.places or {}) do names[name] = true end
    for name in pairs(held.holds or {}) do names[name] = true end
  end)
  return names
end

--- A variable that was there before now has a value.
function Heap:keep_in_variable(variable, set)
  local kept = aliases.kept_at(self.aliases, variable, "", true)
  for name in pairs(names_in(self, set)) do self:mark(kept, name) end
end

-- What was there before now has tables of self in it, or self.
local function hold(self, object, set)
  local names = names_in(self, set)
  while object and next(names) ~= nil do
    local held = aliases.held_by(self.aliases, object, true)
    object.holds = object.holds or {}
    for name in pairs(names) do
      self:mark(object.holds, name)
      if held then self:mark(held, name) end
    end
    object = object.parent
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
  hold(self, object, set)
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
  for name in pairs(object.places or {}) do
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
    if is_shareable(object) and object.kind ~= "outside" then
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
    if is_some_self(object) then
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
  places_of(self, object, function(name) self:write(name) end, true)
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
-- into, is not one table with another that is set.
local function is_plain(self, name)
  return self.aliases.numbers[name] and not self.aliases.tables[name]
end

-- How a field changes: it is set to something else; its own table changes;
-- one deeper down does.
local REBOUND, SHALLOW, DEEP = 1, 2, 3

-- How a field changes when one that it shares a table with does: nil when
-- not, as one that seems plain only does when that table may be its own.
local function level_of(self, name, other, level)
  local same = self.aliases.same[name]
  local is_same = same and same[other]
  local may_be_it = level == DEEP or level == SHALLOW and is_same
  if not may_be_it and (is_plain(self, name) or is_plain(self, other)) then
    return nil
  end
  return (level == REBOUND or is_same) and level or DEEP
end

-- Add the names of all fields that share a table with some: what is also in
-- some field or other is in any.
local function spread(self, names, level, reached)
  local links, queue = self.aliases.links, {}
  local function add(name, to)
    if to and (reached[name] or 0) < to then
      reached[name] = to
      queue[#queue + 1] = name
    end
  end
  for name in pairs(names) do add(name, level) end
  for name in pairs(next(names) and links[ANYWHERE] or {}) do
    add(name, level_of(self, ANYWHERE, name, level))
  end
  while #queue > 0 do
    local name = table.remove(queue)
    local now = reached[name]
    for other in pairs(links[name] or {}) do
      add(other, level_of(self, name, other, now))
    end
  end
end

local function spread_writes(self)
  local reached = {}
  spread(self, self.deep, DEEP, reached)
  spread(self, self.shallow, SHALLOW, reached)
  spread(self, self.writes, REBOUND, reached)
  return reached
end

local function all_writes(self)
  local shared = self.aliases
  if next(self.writes) == nil then
    local is_clear = not shared.is_unknown or next(self.outside_writes) == nil
    return is_clear and {} or "all"
  end
  local reached = spread_writes(self)
  if shared.is_all or shared.is_unknown or reached[ANYWHERE] then
    return "all"
  end
  local writes = {}
  for name in pairs(shared.near) do writes[name] = true end
  for name, level in pairs(reached) do
    writes[name] = true
    if is_held(self, name) or shared.near[name]
       or level == DEEP and shared.is_all_inside then
      return "all"
    end
  end
  return writes
end

--- -> the fields that are read, and that are written: sets, or "all"
function Heap:effects()
  local writes = self.writes_all and "all" or all_writes(self)
  local reads = self.reads_all and "all" or self.reads
  -- What a field leads to is not known.
  if self.aliases.is_unknown and next(self.reads) then reads = "all" end
  return reads, writes
end

return Heap
