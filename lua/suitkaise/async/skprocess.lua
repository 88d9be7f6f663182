--- Skprocess for tasks: its waits yield the task that makes them, and its
-- hooks are tasks in a loop of their own in the process.
-- @module suitkaise.async.skprocess

local Skprocess = require "suitkaise.skprocess"

local AsyncSkprocess = Skprocess:extend "Skprocess"

AsyncSkprocess._is_async = true

return AsyncSkprocess
