--- What runs in this process: for those who stop it all, and who count.
-- @module suitkaise.processing.registry

local core = require "suitkaise.core"

local registry = {}

local generation
local running, pools

local function renew()
  if generation ~= core.generation() then
    generation = core.generation()
    running = setmetatable({}, { __mode = "k" })
    pools = setmetatable({}, { __mode = "k" })
  end
end

--- The running Skprocesses: state -> true. Weak: those that nobody holds any
-- more end with the collector.
function registry.running()
  renew()
  return running
end

--- The pools: Pool -> true.
function registry.pools()
  renew()
  return pools
end

return registry
