-- The demo on two workers beside two bare forks that read half of the files
-- each, and the memory of its workers. Every run is a process of its own.

package.path = "bench/?.lua;" .. package.path

local measure = require "measure"

local ROUNDS = 9
local FOLDER = "/usr/include"
local DEMO = "luajit examples/codestats.lua --json --workers 2 " .. FOLDER

local alone = {}  -- seconds in one process, of every run of the demo

local function demo()
  local pipe = io.popen(DEMO .. " 2>/dev/null")
  local output = pipe:read "*a"
  pipe:close()
  assert(output:find('"identical": true', 1, true), "results differ")
  alone[#alone + 1] = tonumber(output:match '"one_process": ([%d.]+)')
  return tonumber(output:match '"parallel": ([%d.]+)')
end

local function forks(how)
  return function()
    return measure.program("luajit bench/demo/forks.lua " .. FOLDER .. how)
  end
end

local BARE, DELIVER = "two bare forks", "two bare forks that deliver"

local seconds = measure.in_turn({
  { "ours", demo }, { BARE, forks "" }, { DELIVER, forks " deliver" },
}, ROUNDS)

local one = measure.median(alone)
local speedups = {}
for name, s in pairs(seconds) do speedups[name] = one / s end
print(("one process reads %s in %.3f s"):format(FOLDER, one))
measure.report("speed-up of the demo on 2 workers", "times", speedups,
               "at least 0.9 of two bare forks")

-- ---- memory ----

local function read(path)
  local file = io.open(path)
  local text = file and file:read "*a"
  if file then file:close() end
  return text or ""
end

-- The most that a worker had to itself while the demo ran, in KB.
local function most_private()
  local pipe = io.popen("echo $$; exec " .. DEMO .. " 2>/dev/null")
  local pid, most = pipe:read "*l", 0
  local running = ("/proc/%s/task/%s/children"):format(pid, pid)
  while read("/proc/" .. pid .. "/comm") ~= "" do
    for worker in read(running):gmatch "%d+" do
      if read("/proc/" .. worker .. "/comm") == "luajit\n" then
        local kb = read("/proc/" .. worker .. "/smaps_rollup")
          :match "Private_Dirty:%s+(%d+)"
        most = math.max(most, tonumber(kb) or 0)
      end
    end
    os.execute "sleep 0.01"
    if read("/proc/" .. pid .. "/stat"):find "%) Z " then break end
  end
  pipe:close()
  return most
end

local peaks = {}
for i = 1, 3 do peaks[i] = most_private() end
print "memory of a worker that it does not share, at its peak"
print(("  %-34s %11d KB"):format("suitkaise", measure.median(peaks)))
print "  asked: under 4096 KB"
