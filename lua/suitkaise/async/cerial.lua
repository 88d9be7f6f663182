--- cerial for tasks: large values are written and read in slices, between
-- which other tasks run. Small ones, of a few hundred items, are done at once.
--
-- The value must not change while it is written; a change that is noticed
-- raises a SerializationError. Hooks run as ever and cannot wait.
-- @module suitkaise.async.cerial

local cerial = require "suitkaise.cerial"
local core = require "suitkaise.core"
local errors = require "suitkaise.errors"
local loop = require "suitkaise.async.loop"

local twin = {}

local ITEMS = 256            -- between two looks at the clock
local SLICE_SECONDS = 300e-6 -- between two turns of the others

local function unwrap(ok, is_over, value)
  if not ok then errors.reraise(is_over) end
  return is_over, value
end

-- Do all of it: -> the result
local function work(name, slices)
  loop.enter(name)
  local began = core.now()
  while true do
    local is_over, value = unwrap(pcall(slices.step, slices, ITEMS))
    if is_over then return value end
    if core.now() - began >= SLICE_SECONDS then
      loop.pass(name)
      began = core.now()
    end
  end
end

--- A value as bytes: arguments, results and errors of
-- @{suitkaise.cerial.serialize}.
-- @param value
-- @tparam[opt] table given
-- @treturn string
-- @raise SerializationError, CancelledError
function twin.serialize(value, given)
  return work("cerial.serialize", core.cerial_encode_slices(value,
    cerial.encode_options("serialize", given)))
end

--- The value that bytes hold: arguments, results and errors of
-- @{suitkaise.cerial.deserialize}.
-- @tparam string bytes
-- @tparam[opt] table given
-- @return the value
-- @raise DeserializationError, CancelledError
function twin.deserialize(bytes, given)
  return work("cerial.deserialize", core.cerial_decode_slices(bytes,
    cerial.decode_options("deserialize", bytes, given)))
end

--- Several values as bytes for @{deserialize_many}.
function twin.serialize_many(...)
  return twin.serialize { n = select("#", ...), ... }
end

--- The values of @{serialize_many}.
function twin.deserialize_many(bytes, given)
  return cerial.many(work("cerial.deserialize_many",
    core.cerial_decode_slices(bytes,
      cerial.decode_options("deserialize_many", bytes, given))))
end

-- What does not take long is the same.
return setmetatable(twin, { __index = cerial })
