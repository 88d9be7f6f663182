--- Any Lua value to bytes and back.
-- @module suitkaise.cerial

local core = require "suitkaise.core"
local describe = require "suitkaise.cerial.describe"
local errors = require "suitkaise.errors"
local kinds = require "suitkaise.cerial.kinds"
local registry = require "suitkaise.cerial.registry"
local resolve = require "suitkaise.cerial.resolve"
local vm = require "suitkaise.cerial.vm"

local encode, decode = core.cerial_encode, core.cerial_decode
local HOW = describe.HOW

local cerial = {}

core.cerial_setup {
  [kinds.call.NAME] = describe.name,
  [kinds.call.OBJECT] = describe.object,
  [kinds.call.SPECIAL] = describe.special,
  [kinds.call.FAIL] = describe.fail,
  [kinds.call.RESOLVE] = resolve.name,
  [kinds.call.REVIVE] = resolve.revive,
  [kinds.call.STAND_IN] = resolve.stand_in,
  [kinds.call.BUILD] = resolve.build,
  [kinds.call.REPLACE] = resolve.replace,
  [kinds.call.REFUSE] = resolve.refuse,
  [kinds.call.VM] = vm,
  [kinds.call.REGISTERED] = registry.names,
}

function cerial.serialize(value, given)
  local bytes
  if given == nil then bytes = encode(value)
  else
    bytes = encode(value, HOW[given.functions or "auto"], given.max_depth,
                   given.max_bytes)
  end
  return bytes
end

function cerial.deserialize(bytes, given)
  local value
  if given == nil then value = decode(bytes, false)
  else value = decode(bytes, given.trusted, given.max_depth) end
  return value
end

cerial.register = function(name, class) registry.add(name, class) end
cerial.handle = registry.handle

return cerial
