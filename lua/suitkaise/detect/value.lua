--- Abstract values: the set of things that a register may hold.
--
-- Sets are interned, so that equal ones are the same table. A thing is one of
--   scalar    a number, a string, a boolean or nil, not known which
--   key       a string or number that is known (`.value`)
--   self      the object whose method is analysed
--   field     what hangs on self under `.name`: itself, or what hangs on that,
--             to any depth (`.is_deep`)
--   part      what hangs on self, not known where
--   new       a table made at one place of the code
--   closure   a function made at one place (`.unit`)
--   outside   what was there before the call: `.value` when it is a function
--             or a table that is known; `.label` tells it from others, `.name`
--             (else the label) says how it was reached, `.parent` and
--             `.step` of what it is a part, `.source` in which variable
-- @module suitkaise.detect.value

-- Each function is analysed once: compiled code would only take the place of
-- the host's.
if rawget(_G, "jit") then jit.off(true, true) end

local Universe = {}
Universe.__index = Universe

local MAX_KEYS = 4   -- more known keys in one set are just a scalar
local MAX_DEPTH = 3  -- parts of parts of an argument that are told apart
local MAX_WORK = 200000 -- things of sets that are looked at in all

function Universe.new()
  local self = setmetatable({
    count = 0, work = 0, sets = {}, fields = {}, deep_fields = {},
    keys = {}, known = {}, labels = {},
  }, Universe)
  self.nothing = self:intern({})
  self.scalar = self:object("scalar").alone
  self.self = self:object("self").alone
  self.part = self:object("part").alone
  return self
end

--- A new thing; `.alone` is the set of it.
function Universe:object(kind, details)
  local object = details or {}
  self.count = self.count + 1
  object.kind, object.id = kind, self.count
  object.alone = self:intern({ object })
  return object
end

--- Count the things of a set that is gone through: raises when it is too much
-- in all.
function Universe:spend(objects)
  self.work = self.work + #objects
  if self.work > MAX_WORK then error("too many values", 0) end
end

-- `objects` are sorted by id.
function Universe:intern(objects)
  self:spend(objects)
  local ids = {}
  for i, object in ipairs(objects) do ids[i] = object.id end
  local text = table.concat(ids, " ")
  local set = self.sets[text]
  if not set then
    set = { objects = objects, text = text, unions = {} }
    self.sets[text] = set
  end
  return set
end

local function merge(a, b)
  local list, i, j = {}, 1, 1
  local x, y = a[1], b[1]
  while x or y do
    if not y or x and x.id <= y.id then
      if y and x.id == y.id then
        j = j + 1
        y = b[j]
      end
      list[#list + 1] = x
      i = i + 1
      x = a[i]
    else
      list[#list + 1] = y
      j = j + 1
      y = b[j]
    end
  end
  return list
end

-- A scalar may be any string or number: known ones add nothing to it. More
-- than a few known ones are a scalar, so that sets stay small.
local function without_keys(self, objects)
  local list, keys, is_scalar = {}, 0, false
  for _, object in ipairs(objects) do
    if object.kind == "key" then
      keys = keys + 1
    else
      list[#list + 1] = object
      is_scalar = is_scalar or object.kind == "scalar"
    end
  end
  if keys == 0 or keys <= MAX_KEYS and not is_scalar then return objects end
  return merge(list, self.scalar.objects)
end

function Universe:union(a, b)
  if a == b or not b or b == self.nothing then return a end
  if not a or a == self.nothing then return b end
  local set = a.unions[b]
  if not set then
    set = self:intern(without_keys(self, merge(a.objects, b.objects)))
    a.unions[b] = set
  end
  return set
end

--- The set of a known string or number.
function Universe:key(value)
  local object = self.keys[value]
  if not object then
    object = self:object("key", { value = value })
    self.keys[value] = object
  end
  return object.alone
end

--- The set of what hangs on self under a name.
function Universe:field(name)
  local object = self.fields[name]
  if not object then
    object = self:object("field", { name = name })
    self.fields[name] = object
  end
  return object.alone
end

--- The set of what hangs on that.
function Universe:deep_field(name)
  local object = self.deep_fields[name]
  if not object then
    object = self:object("field", { name = name, is_deep = true })
    self.deep_fields[name] = object
  end
  return object.alone
end

--- The set of a function, table or userdata that was there before.
function Universe:outside(value, label)
  local object = self.known[value]
  if not object then
    object = self:object("outside", { value = value, label = label })
    self.known[value] = object
  end
  return object.alone
end

--- The set of something that was there before and is not known.
function Universe:unknown(label, depth)
  local object = self.labels[label]
  if not object then
    object = self:object("outside", { label = label, depth = depth or 0 })
    self.labels[label] = object
  end
  return object.alone
end

--- The set of what hangs on something unknown; far down all is one.
function Universe:below(object, key)
  local depth = object.depth or 0
  if depth >= MAX_DEPTH then return object.alone end
  local name = key == nil and "[]" or tostring(key)
  local set = self:unknown((object.label or "?") .. "." .. name, depth + 1)
  local child = set.objects[1]
  if not child.parent then
    child.parent, child.is_result = object, object.is_result
    child.step = name
    child.name = (object.name or object.label) .. "." .. name
    object.children = object.children or {}
    object.children[#object.children + 1] = child
  end
  return set
end

return Universe
