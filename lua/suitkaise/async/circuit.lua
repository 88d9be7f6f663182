--- Circuits that let other tasks run while they sleep.
-- @module suitkaise.async.circuit

local circuit = require "suitkaise.circuit"
local registry = require "suitkaise.cerial.registry"
local wait = require "suitkaise.async.wait"

-- Outside of tasks they block: one in a Share serves tasks and others.
local Circuit = circuit.with {
  sleep = function(seconds) return wait.here().sleep(seconds) end,
  pcall = function(...) return wait.here().pcall(...) end,
}

registry.add("suitkaise.async.circuit:Circuit", Circuit)

return Circuit
