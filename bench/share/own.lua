-- A share as the benches need it: what a loop takes until all is applied, what
-- the coordinator's processor has to do with it, and how long a single
-- operation takes when both have a processor of their own.

local ffi = require "ffi"
local core = require "suitkaise.core"
local measure = require "measure"
local sk = require "suitkaise"

ffi.cdef "int sched_setaffinity(int, size_t, const uint64_t *);"

local own = {}

--- Let a process run on that processor only; 0 is ourselves, nil: on any.
function own.pin(pid, cpu)
  local mask = ffi.new("uint64_t[1]", cpu and 2 ^ cpu or -1)
  ffi.C.sched_setaffinity(pid, 8, mask)
end

--- A share whose coordinator runs.
function own.share(options)
  local share = sk.Share(options)
  share.warm = true
  share:flush()
  return share, share.coordinator_pid
end

--- Nanoseconds of processor that a process has had.
function own.cpu_ns(pid)
  local file = assert(io.open(("/proc/%d/schedstat"):format(pid)))
  local n = file:read "*n"
  file:close()
  return n
end

--- Nanoseconds a turn of loop(n), all of it applied.
function own.applied_ns(share, loop, n)
  return measure.time(function()
    loop(n)
    share:flush()
  end) / n * 1e9
end

--- The same in processor time: of us, and of the coordinator.
function own.processor_ns(share, loop, n)
  local me, other = core.getpid(), share.coordinator_pid
  local mine, its = own.cpu_ns(me), own.cpu_ns(other)
  loop(n)
  share:flush()
  return (own.cpu_ns(me) - mine) / n, (own.cpu_ns(other) - its) / n
end

--- Nanoseconds a turn until it is queued, of pieces that the lane holds.
function own.queued_ns(share, loop, piece, pieces)
  local list = {}
  for i = 1, pieces do
    list[i] = measure.time(loop, piece) / piece * 1e9
    share:flush()
  end
  return measure.median(list)
end

--- Microseconds of the median operation, each timed alone: the share's
-- coordinator on one processor, we on another.
function own.single_us(share, operation, n)
  local pid, list = share.coordinator_pid, {}
  own.pin(0, 0)
  own.pin(pid, 1)
  for i = 1, n do
    local begun = measure.now()
    operation(i)
    list[i] = measure.now() - begun
  end
  own.pin(0)
  own.pin(pid)
  return measure.median(list) * 1e6
end

return own
