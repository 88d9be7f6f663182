--- Shares whose waits yield the task that makes them.
-- @module suitkaise.async.share

local Share = require "suitkaise.share"

--- Make a share for tasks; arguments as of @{suitkaise.share}.
local function new(_, given)
  return Share(given):asynced()
end

--- Open one by its name.
local function open(name, given)
  return Share.open(name, given):asynced()
end

return setmetatable({ open = open }, { __call = new })
