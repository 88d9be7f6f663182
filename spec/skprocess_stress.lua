-- Processes, monitors and owners that are killed and stopped at random while
-- runs, tells and results flow: every result is right or a named error, no call
-- hangs, nothing is left. SECONDS says for how long.

local core = require "suitkaise.core"
local helper = require "spec.helper"
local sk = require "suitkaise"

local SECONDS = tonumber(os.getenv "SECONDS") or 60
local PATIENCE = 60 -- for one call

-- All that descends from a process, but for one branch.
local function descendants(pid, but, found)
  local path = "/proc/" .. pid .. "/task/" .. pid .. "/children"
  local file = io.open(path)
  for child in (file and file:read "*a" or ""):gmatch "%d+" do
    if tonumber(child) ~= but then
      found[#found + 1] = child
      descendants(child, but, found)
    end
  end
  if file then file:close() end
  return found
end

local METHODS = { "KILL", "KILL", "SEGV", "TERM", "STOP" }

local function strike(pid, how)
  if how == "STOP" then
    os.execute("kill -STOP " .. pid .. " 2>/dev/null; sleep 0.02; "
      .. "kill -CONT " .. pid .. " 2>/dev/null")
  else
    os.execute("kill -" .. how .. " " .. pid .. " 2>/dev/null")
  end
end

local function start_storm(over)
  local target = core.getpid()
  return helper.fork(function()
    local own = core.getpid()
    math.randomseed(own)
    while not over.value do
      local pids = descendants(target, own, {})
      if pids[1] then
        strike(pids[math.random(#pids)], METHODS[math.random(#METHODS)])
      end
      over:wait(math.random() * 0.03)
    end
  end)
end

-- ---- processes whose results can be checked ----

local Sum = sk.Skprocess:extend "Sum"

function Sum:init(runs, lives, join_in)
  self.sum = 0
  self.config.runs, self.config.lives = runs, lives
  self.config.join_in = join_in
end

function Sum:__run__()
  self.sum = self.sum + self.current_run
  self:tell(self.current_run)
end

function Sum:__result__() return { self.sum, ("x"):rep(self.sum) } end

local NAMED = { "ProcessDiedError", "ProcessTimeoutError",
                "ErrorHandlerError", "ProcessError" }

local function is_named(err)
  for _, class in ipairs(NAMED) do
    if sk.is(err, class) then return true end
  end
  return false
end

-- -> 1 when it came to its result, 0 when it died
local function judge(p, want)
  local begun = core.now()
  local ok, value = pcall(p.result, p, PATIENCE)
  assert(core.now() - begun < PATIENCE, "a result took too long")
  if not ok then
    assert(is_named(value), tostring(value))
    return 0
  end
  assert.equal(want, value[1])
  assert.equal(want, #value[2])
  return 1
end

-- What was told is whole and in order: each run, again after a death.
local function judge_talk(p, runs)
  local last = -1
  while true do
    local run, why = p:listen(PATIENCE)
    if why then
      assert.equal("closed", why)
      return
    end
    assert.is_true(run <= last + 1 and run < runs)
    last = run
  end
end

local function sums()
  local all = {}
  for i = 1, math.random(4) do
    local runs = math.random(200)
    all[i] = Sum(runs, math.random(4), math.random(2) == 1
                 and math.random(20) or nil)
    all[i]:start()
  end
  local done = 0
  for _, p in ipairs(all) do
    local runs = p.config.runs
    done = done + judge(p, runs * (runs - 1) / 2)
    judge_talk(p, runs)
  end
  return done
end

local Echo = sk.Skprocess:extend "Echo"
function Echo:init(lives) self.config.lives = lives end
function Echo:__run__()
  local value, why = self:listen(5)
  if not why then self:tell(value) end
end

local function echoes()
  local p = Echo(math.random(3))
  p:start()
  local n = 0
  for i = 1, 300 do
    p:tell{ i, ("y"):rep(i * 10) }
    local value, why = p:listen(0.2)
    if why == "closed" then break end
    if value then
      assert.equal(value[1] * 10, #value[2])
      n = n + 1
    end
  end
  p:stop()
  p:kill()
  return n > 0 and 1 or 0
end

-- An owner that is struck itself: a process with processes.
local Owner = sk.Skprocess:extend "Owner"
function Owner:init() self.config.runs, self.config.lives = 1, 3 end
function Owner:__run__() self.done = sums() end
function Owner.__result__() return { 0, "" } end

local function owners()
  local p = Owner()
  p:start()
  return judge(p, 0)
end

local Stuck = sk.Skprocess:extend "Stuck"
function Stuck:init() self.config.timeouts.run, self.config.lives = 0.05, 2 end
function Stuck.__run__() while true do end end

local function limits()
  local p = Stuck()
  local begun = core.now()
  local ok, err = pcall(p.run, p)
  assert(not ok and is_named(err), tostring(err))
  assert(core.now() - begun < PATIENCE)
  return 1
end

local LOADS = { sums, sums, echoes, owners, limits }

describe("Skprocess in a storm of signals", function()
  after_each(helper.nothing_left)

  it("gives right results or named errors", function()
    local over = sk.Flag(false)
    local storm = start_storm(over)
    local calls, done = 0, 0
    local ends = core.now() + SECONDS
    while core.now() < ends do
      done = done + LOADS[math.random(#LOADS)]()
      calls = calls + 1
    end
    over:set()
    assert.equal(0, (storm:finish()))
    io.write(("%d rounds, %d results\n"):format(calls, done))
    assert.is_true(done > 0)
    assert.equal(0, sk.processing.stats().processes)
    assert.equal(45, Sum(10, 1):run()[1])
  end)
end)
