--- Where tables are: under which fields of self, and in what was there before.
-- Part of suitkaise.detect.heap, whose methods these are.
-- @module suitkaise.detect.places

-- Each function is analysed once: compiled code would only take the place of
-- the host's.
if rawget(_G, "jit") then jit.off(true, true) end

local aliases = require "suitkaise.detect.aliases"
local fresh = require "suitkaise.detect.fresh"
local each = require "suitkaise.each"

local places = {}

local ANYWHERE = aliases.ANYWHERE

-- ---- fields that share tables ----

local function add_link(self, links, a, b)
  links[a], links[b] = links[a] or {}, links[b] or {}
  self:mark(links[a], b)
  self:mark(links[b], a)
end

--- Two fields may hold the same table; `is_inside`: deeper down only.
function places:link(a, b, is_inside)
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
function places:is_class(value)
  self.chain = self.chain or chain_of(self.class)
  return value ~= nil and self.chain[value] ~= nil
end

--- Is it possible to change a thing in place, so that sharing it matters?
function places.is_shareable(object)
  return object.kind ~= "scalar" and object.kind ~= "key"
    and type(object.value) ~= "function"
end

--- Visit all that can be reached from a set by way of what was made here.
function places:reach(set, visit, seen)
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

--- Is it self, in this call or in another?
function places.is_some_self(object)
  return object.kind == "self" or object.kind == "part" or object.is_instance
end

local function link_places(self, object, name)
  for other in each(object.places) do
    if other ~= name then self:link(name, other) end
  end
  for other in each(object.holds or {}) do
    if other ~= name then self:link(name, other, true) end
  end
end

-- `part` is that of the two which is inside of the other.
local function link_relative(self, relative, name, part)
  for other in each(relative.places or {}) do
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
  for other in each(kept) do
    if other ~= name then self:link(name, other) end
  end
  for other in each(aliases.held_by(self.aliases, object) or {}) do
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
function places:place(set, name, container, is_inside)
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
    elseif places.is_shareable(object) and not self:is_class(object.value) then
      place_at(self, object, name, container)
    end
  end
end

--- The fields in which a thing that was there before may be, and those that
-- may be in it: such are also where a part of it may be (`is_inside`).
function places:visit_places(object, visit, is_inside)
  local function visit_all(names)
    for name in each(names or {}) do visit(name) end
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
function places:inherit(object, set)
  self:visit_places(object, function(name)
    self:read(name)
    for _, child in ipairs(set.objects) do
      if places.is_shareable(child) then
        child.places = child.places or {}
        self:mark(child.places, name)
        if name == ANYWHERE then child.anywhere = "inherited" end
      end
    end
  end, true)
end

--- Objects that were made here and can be reached from one of their fields.
function places:close_instances()
  for _, object in ipairs(self.instances) do
    local function look(name, set)
      self:reach(set, function(other)
        if other.is_instance then self:mark(self.aliases.held, name) end
      end)
    end
    for name, set in each(object.keyed) do look(name, set) end
    look(ANYWHERE, object.dynamic)
  end
end

--- Can self be reached from a field?
function places:is_held(name)
  return self.aliases.held[name] or self.aliases.held[ANYWHERE]
end

-- ---- what was there before ----

-- What is found in a set: fields' tables by their names; self, as that of any.
local function names_in(self, set)
  local names = {}
  self:reach(set, function(held)
    if places.is_some_self(held) then names[ANYWHERE] = true end
    if held.kind == "field" then names[held.name] = true end
    for name in each(held.places or {}) do names[name] = true end
    for name in each(held.holds or {}) do names[name] = true end
  end)
  return names
end

--- A variable that was there before now has a value.
function places:keep_in_variable(variable, set)
  local kept = aliases.kept_at(self.aliases, variable, "", true)
  for name in each(names_in(self, set)) do self:mark(kept, name) end
end

--- What was there before now has tables of self in it, or self.
function places:hold(object, set)
  local names = names_in(self, set)
  while object and next(names) ~= nil do
    local held = aliases.held_by(self.aliases, object, true)
    object.holds = object.holds or {}
    for name in each(names) do
      self:mark(object.holds, name)
      if held then self:mark(held, name) end
    end
    object = object.parent
  end
end

return places
