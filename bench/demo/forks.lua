-- The work of examples/codestats.lua by two bare forks, each of which reads
-- every second file: prints seconds of wall clock.
-- usage: forks.lua folder [deliver]
--
-- Without `deliver` the forks throw away what they found; with it they leave
-- it in files, and their parent adds it up and sums up as the demo does.

package.path = "bench/?.lua;examples/?.lua;" .. package.path

local ffi = require "ffi"
local measure = require "measure"
local cerial = require "suitkaise.cerial"

local listing = require "codestats.listing"
local report = require "codestats.report"
local scan = require "codestats.scan"
local summary = require "codestats.summary"

ffi.cdef [[
int fork(void);
void _exit(int);
int waitpid(int, int *, int);
]]

local LIMITS = { identifiers = 20, files = 10, imports = 10 }

local folder, deliver = arg[1], arg[2] == "deliver"
local files = listing.files({ folder }, scan.language)

local function nothing() end

local function every_second(first)
  local part = {}
  for i = first, #files, 2 do part[#part + 1] = files[i] end
  return part
end

local function read_half(first, name)
  local found = report.on(every_second(first), nothing)
  if not deliver then return end
  local file = assert(io.open(name, "wb"))
  file:write(cerial.serialize(report.pack(found)))
  file:close()
end

local function start(first, name)
  local pid = ffi.C.fork()
  if pid == 0 then
    read_half(first, name)
    ffi.C._exit(0)
  end
  return pid
end

local function add(total, name)
  local file = assert(io.open(name, "rb"))
  report.add(total, cerial.deserialize(file:read "*a"))
  file:close()
end

local function in_two_forks(names)
  local pids = { start(1, names[1]), start(2, names[2]) }
  local total = report.new()
  for i = 1, 2 do
    ffi.C.waitpid(pids[i], nil, 0)
    if deliver then add(total, names[i]) end
  end
  if deliver then summary.of(report.unpack(total, 20), LIMITS) end
end

local names = { os.tmpname(), os.tmpname() }
print(measure.time(in_two_forks, names))
os.remove(names[1])
os.remove(names[2])
