--- Which class is which, between the processes of one program.
--
-- A class that has no name travels by value, and whoever gets it makes a copy.
-- So that its objects are still its objects when they come back, it has an
-- identity, which travels with it: the process that gave it, a number, and a
-- sum of what the class holds. Who knows the class by it takes its own instead
-- of making a copy: the process that gave it always; one that was forked from
-- that, and has the class from there, when the sum is the same (what was there
-- at the fork has the same addresses in both); one that has made a copy
-- before, when the sum is that copy's.
-- @module suitkaise.cerial.identity
-- @local

local core = require "suitkaise.core"
local each = require "suitkaise.each"

local identity = {}

local WEAK_KEYS, WEAK_VALUES = { __mode = "k" }, { __mode = "v" }

local given = setmetatable({}, WEAK_KEYS)    -- class -> its giver and number
local classes = setmetatable({}, WEAK_VALUES) -- that -> class
local sent = setmetatable({}, WEAK_KEYS)     -- copy -> the identity it came by
local copies = setmetatable({}, WEAK_VALUES) -- that -> copy

local DEPTH = 4 -- functions in upvalues of functions

local giver, generation -- this process's name among givers
local number = 0

local function own_giver()
  if generation ~= core.generation() then
    generation = core.generation()
    giver = ("%x.%x."):format(core.getpid(), math.floor(core.now() * 1e6))
  end
  return giver
end

--- Give a class an identity, if it has none: a child that is forked later
-- knows it by that.
-- @tparam table class
function identity.give(class)
  if given[class] or sent[class] then return end
  number = number + 1
  local name = own_giver() .. number
  given[class], classes[name] = name, class
end

local searched = setmetatable({}, WEAK_KEYS)

-- A table that may be a class, an object of one, or a function.
local function search(value, depth)
  if type(value) == "table" then
    if rawget(value, "__index") ~= nil then identity.give(value) end
    local meta = debug.getmetatable(value)
    if meta then identity.give(meta) end
  elseif type(value) == "function" and depth < DEPTH
         and not searched[value] then
    searched[value] = true
    local i = 1
    local name, upvalue = debug.getupvalue(value, i)
    while name do
      search(upvalue, depth + 1)
      i = i + 1
      name, upvalue = debug.getupvalue(value, i)
    end
  end
end

--- Give identities to a class, to those above it, and to those that its
-- functions use, before a child of it is forked.
-- @tparam table class
function identity.give_all(class)
  while type(class) == "table" and not searched[class] do
    searched[class] = true
    identity.give(class)
    for _, value in each(class) do search(value, 0) end
    class = debug.getmetatable(class)
    class = class and rawget(class, "__index")
  end
end

--- What goes with a class that travels by value.
-- @tparam table class
-- @treturn string
function identity.of(class)
  if sent[class] then return sent[class] end
  identity.give(class)
  return given[class] .. "=" .. core.cerial_sum(class)
end

--- A class of that identity is being read into an empty table: -> the class to
-- take instead, or that table.
-- @tparam string name
-- @tparam table copy
-- @treturn table
function identity.known(name, copy)
  local base, sum = name:match "^(.*)=(.*)$"
  local class = classes[base]
  if class then
    local is_own = base:sub(1, #own_giver()) == giver
    if is_own or core.cerial_sum(class) == sum then return class end
  end
  if copies[name] then return copies[name] end
  copies[name], sent[copy] = copy, name
  return copy
end

--- A message could not be read: copies that it has begun may lack something.
function identity.doubt()
  copies = setmetatable({}, WEAK_VALUES)
end

return identity
