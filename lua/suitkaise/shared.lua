--- Shared types: one value, seen by every process.
-- Counter, Flag and Progress are single atomic words in shared memory. They
-- travel by handle: a forked child, a function that captured one and a value
-- that was serialized all see the same word. Words are never given back, so
-- make them once and not in a loop.
-- @module suitkaise.shared
-- @usage local hits = sk.Counter(0)
-- pool:map(function(line) if line:find "GET" then hits:increment() end end,
--          lines)
-- print(hits.value)

local each = require "suitkaise.each"
local classes = require "suitkaise.shared.classes"
local ffi_path = require "suitkaise.shared.ffi"
local registry = require "suitkaise.cerial.registry"

local shared = classes.make(ffi_path.load())

-- Handles are data: cerial carries them in bytes that are not trusted too. A
-- process that has not loaded this module finds the class by its name.
for name, class in each(shared) do
  registry.handle("suitkaise.shared:" .. name, {
    match = class,
    serialize = class.__serialize,
    deserialize = class.__deserialize,
  })
end

return shared

--- A number that processes count with. Exact to 2^53; beyond that it reads
-- as an int64 on LuaJIT, as the nearest float on PUC Lua 5.1, and as an
-- integer, exact to 2^63, on 5.3 and 5.4. Counts past 2^63 wrap around.
-- `value` is the number, `tostring(counter)` its digits.
-- @type Counter

--- Make a counter: `sk.Counter(initial)`.
-- @function Counter
-- @tparam[opt=0] int initial
-- @raise ArgumentError
-- @usage local hits = sk.Counter(0)

--- Add to it. No update is ever lost.
-- @function Counter:increment
-- @tparam[opt=1] int n
-- @treturn int the new value
-- @raise ArgumentError
-- @usage print(hits:increment(), hits:increment(5)) --> 1 6

--- Subtract from it.
-- @function Counter:decrement
-- @tparam[opt=1] int n
-- @treturn int the new value
-- @raise ArgumentError
-- @usage print(sk.Counter(10):decrement()) --> 9

--- Replace its value.
-- @function Counter:set
-- @tparam int n
-- @raise ArgumentError
-- @usage hits:set(0)

--- Something that is so or not: `value` is true or false.
-- @type Flag

--- Make a flag: `sk.Flag(initial)`.
-- @function Flag
-- @tparam[opt=false] boolean initial
-- @raise ArgumentError
-- @usage local stop = sk.Flag(false)

--- Make it true and wake all who wait for it.
-- @function Flag:set
-- @usage stop:set()

--- Make it false.
-- @function Flag:clear
-- @usage stop:clear()

--- Turn it over.
-- @function Flag:toggle
-- @treturn boolean the new value
-- @usage print(sk.Flag(false):toggle()) --> true

--- Sleep until it is true.
-- @function Flag:wait
-- @tparam[opt] number timeout seconds; nil waits for ever, 0 only looks
-- @treturn boolean false when the time ran out
-- @raise ArgumentError
-- @usage if not stop:wait(10) then print "still running" end

--- Yield the running task instead of blocking, see @{suitkaise.async}:
-- `flag:asynced():wait(timeout)`.
-- @function Flag:asynced
-- @return a view with the method `wait`
-- @usage sk.async.run(function() stop:asynced():wait(10) end)

--- How much of a known amount of work is done.
-- Fields: `completed`, `total`, `percent` (0 to 100), `is_complete`, `rate`
-- (a second, since it was made; it stands still once complete), `eta`
-- (seconds; nil while nothing is done, 0 when complete). More steps than
-- `total` are counted in `completed`; `percent` stays 100. A total of 0 is
-- complete from the start.
-- @type Progress

--- Make a progress: `sk.Progress(total)`.
-- @function Progress
-- @tparam int total
-- @raise ArgumentError
-- @usage local progress = sk.Progress(1000)

--- Note steps that are done.
-- @function Progress:increment
-- @tparam[opt=1] int n at least 0
-- @treturn int how many are done now
-- @raise ArgumentError
-- @usage print(progress:increment(5))

--- Draw a bar on stderr and keep it up to date: whenever this process
-- increments or waits. On a terminal it is one line, redrawn ten times a
-- second; elsewhere a plain line for every 10 percent. Other processes that
-- increment draw nothing: wait in the one that has the bar.
-- @function Progress:bar
-- @treturn Progress itself
-- @usage progress:bar():wait()

--- Sleep until it is complete, and keep the bar up to date meanwhile.
-- @function Progress:wait
-- @tparam[opt] number timeout seconds; nil waits for ever, 0 only looks
-- @treturn boolean false when the time ran out
-- @raise ArgumentError
-- @usage if progress:wait(60) then print "done" end

--- The same for tasks: `progress:asynced():wait(timeout)`.
-- @function Progress:asynced
-- @return a view with the method `wait`
-- @usage sk.async.run(function() progress:asynced():wait() end)
