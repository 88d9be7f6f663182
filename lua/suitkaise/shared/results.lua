--- Results: one place for the result of each of n workers. `sk.Results(n)`
-- makes one; `#results` is n.
-- @classmod suitkaise.shared.results
-- @usage local results = sk.Results(4)
-- results:set(2, { sum = 17 })           -- in worker 2
-- print(results:collect()[2].sum)        --> 17

local collection = require "suitkaise.shared.collection"
local errors = require "suitkaise.errors"
local proxy = require "suitkaise.share.proxy"
local values = require "suitkaise.share.values"

local states = proxy.states

local Results = collection.new_class("Results", function(n)
  if type(n) ~= "number" or n < 1 or n % 1 ~= 0 then
    errors.argument("Results", "n", n, "a whole number of at least 1",
                    "caller")
  end
  return { n = n }
end)
local results = Results.methods

local function state_of(self, method)
  return collection.state_of(Results, self, method)
end

Results.__index = proxy.indexer(function(_, key)
  local method = results[key]
  if method then return method end
  collection.no_field(Results, key,
                      type(key) == "number" and "; use :get(worker)" or nil)
end)

function Results.__newindex(_, key)
  collection.refuse_key(Results, key,
                        "cannot be assigned; use :set(worker, value)")
end

local function size(st) return (proxy.read(st, "n")) end

Results.__len = proxy.metamethod(function(self) return size(states[self]) end)

local function check_worker(st, method, worker)
  local n = size(st)
  if type(worker) ~= "number" or worker < 1 or worker > n or worker % 1 ~= 0
  then
    collection.refuse(Results, method, "worker", worker,
                      "a whole number from 1 to " .. n)
  end
end

--- Leave the result of one worker.
-- @tparam int worker 1 to n
-- @param value any; read back as a copy
-- @raise ArgumentError
-- @usage results:set(worker, sum)
function results:set(worker, value)
  local st = state_of(self, "set")
  check_worker(st, "set", worker)
  value = values.to_plain(value)
  proxy.write(st, worker, value ~= nil and values.leaf(value) or nil)
end

--- The result of one worker.
-- @tparam int worker 1 to n
-- @return the value; nil while there is none
-- @raise ArgumentError
-- @usage if results:get(2) then print "worker 2 is done" end
function results:get(worker)
  local st = state_of(self, "get")
  check_worker(st, "get", worker)
  return (proxy.read(st, worker))
end

--- All results.
-- @treturn table an array with nil where there is none yet, and its size `n`
-- @usage local all = results:collect()
-- for worker = 1, all.n do print(worker, all[worker]) end
function results:collect()
  local keys, of = proxy.entries(state_of(self, "collect"))
  local all = {}
  for i, key in ipairs(keys) do all[key] = of[i] end
  return all
end

--- The same Results for tasks of @{suitkaise.async}: what waits yields the
-- task.
-- @usage sk.async.run(function() results:asynced():collect() end)
-- @function results:asynced
-- @treturn Results a view

return Results
