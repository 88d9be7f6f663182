--- The fields of an object as they are synced: read in one process, put into
-- the same object in another.
-- @module suitkaise.processing.fields

local each = require "suitkaise.each"
local handing = require "suitkaise.pipe.handing"

local fields = {}

-- What is set up anew by each side.
local PRIVATE = { config = true }

-- The object whose fields are on their way: what it holds may refer to it.
local under_way

--- Call send(fields of object, run) while references to it go as such.
-- @return ok, what send returned or raised
function fields.send(object, run, send)
  local copy = {}
  for name, value in each(object) do
    if not PRIVATE[name] then copy[name] = value end
  end
  under_way, handing.is_sync = object, true
  local ok, result = pcall(send, { fields = copy, run = run })
  under_way, handing.is_sync = nil, false
  return ok, result
end

--- Put what was synced after number `from` into the object. (No closure
-- around the channel: code that LuaJIT compiled would keep that from being
-- collected.)
-- @return number of the sync and its run, or nothing
function fields.receive(object, channel, from)
  under_way = object
  local ok, number, synced = pcall(channel.synced, channel, from)
  under_way = nil
  if not ok then error(number, 0) end
  if not number then return nil end
  for name in each(object) do
    if not PRIVATE[name] and synced.fields[name] == nil then
      object[name] = nil
    end
  end
  for name, value in each(synced.fields) do rawset(object, name, value) end
  return number, synced.run
end

--- What an object is when it travels inside a value.
function fields.serialize(object)
  if object == under_way then return { is_self = true } end
  local copy = {}
  for name, value in each(object) do copy[name] = value end
  return { class = getmetatable(object), fields = copy }
end

function fields.deserialize(state)
  if state.is_self then return under_way end
  return setmetatable(state.fields, state.class)
end

return fields
