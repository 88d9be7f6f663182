-- Skprocess for tasks: waits yield, hooks are tasks, limits cancel first.

local async_helper = require "spec.async_helper"

local core = require "suitkaise.core"
local helper = require "spec.helper"
local sk = require "suitkaise"

local async = sk.async
local run, beats_during = async_helper.run, async_helper.beats_during
local caught, settle = async_helper.caught, async_helper.settle

local SIGKILL, SIGSTOP, SIGCONT = "KILL", "STOP", "CONT"

local function signal(name, pid)
  os.execute("kill -" .. name .. " " .. pid)
end

local function in_task(test)
  return function() run(test) end
end

-- Counts, with a wait in each run.
local Count = async.Skprocess:extend "Count"

function Count:init(runs)
  self.n, self.config.runs = 0, runs
end

function Count:__run__()
  async.sleep(0.005)
  self.n = self.n + 1
end

function Count:__result__() return self.n end

-- Says back what it is told.
local Echo = async.Skprocess:extend "Echo"

function Echo:__run__()
  local value, why = self:listen()
  if not why then self:tell(value) end
end

-- One hook that is given as a function.
local function once(hook, config)
  local Once = async.Skprocess:extend "Once"
  Once.__run__ = hook
  local p = Once()
  p.config.runs = 1
  for name, value in pairs(config or {}) do p.config[name] = value end
  return p
end

describe("async.Skprocess", function()
  after_each(helper.nothing_left)

  it("runs without blocking", in_task(function()
    local beats, n = beats_during(function() return Count(3):run() end)
    assert.equal(3, n)
    assert.is_true(beats >= 1)
  end))

  it("runs outside of tasks, too", function()
    assert.equal(2, Count(2):run())
  end)

  it("waits for the end, or not so long", in_task(function()
    local p = Count(4)
    p:start()
    assert.is_false(p:wait(0.001))
    assert.is_true(sk.is(caught(p.result, p, 0), "ResultTimeoutError"))
    assert.is_true(p:wait(20))
    assert.equal(4, p:result())
  end))

  it("talks to its process", in_task(function()
    local p = Echo()
    p:start()
    for i = 1, 20 do
      p:tell { i }
      assert.equal(i, p:listen(20)[1])
    end
    local value, why = p:listen(0.005)
    assert.is_nil(value)
    assert.equal("timeout", why)
    p:stop()
    assert.is_true(p:wait(20))
    assert.equal("closed", select(2, p:listen()))
  end))

  it("ends a listen in the process by stop", in_task(function()
    local p = Echo()
    p:start()
    async.sleep(0.02)
    local began = core.now()
    p:stop()
    p:wait(20)
    assert.is_true(core.now() - began < 5)
  end))

  it("serves several tasks that wait", in_task(function()
    local p = Count(4)
    p:start()
    local a, b, c = async.gather(function() return p:result() end,
                                 function() return p:wait() end,
                                 function() return select(2, p:listen()) end)
    assert.equal(4, a)
    assert.is_true(b)
    assert.equal("closed", c)
  end))

  it("runs tasks beside its hooks, and ends them with it", in_task(function()
    local ended = sk.Flag()
    local Busy = async.Skprocess:extend "Busy"
    function Busy:init() self.config.runs = 3 end
    function Busy:__prerun__()
      if self.beats then return end
      self.beats = 0
      async.spawn(function()
        local ok, err = async.pcall(function()
          while true do
            async.sleep(0.001)
            self.beats = self.beats + 1
          end
        end)
        ended:set()
        if not ok then error(err, 0) end
      end)
    end
    function Busy.__run__() async.sleep(0.01) end
    function Busy:__result__() return self.beats end
    assert.is_true(Busy():run() > 3)
    assert.is_true(ended.value)
  end))

  it("has an own loop, that leaves the parent's alone", in_task(function()
    local fired = 0
    local luv = require "luv"
    local timer = luv.new_timer()
    timer:start(1, 1, function() fired = fired + 1 end)
    local count = once(function(self)
      local before = fired
      async.sleep(0.02)
      self:tell(fired - before)
    end)
    count:start()
    assert.equal(0, count:listen(20))
    count:wait()
    timer:close()
    assert.is_true(fired > 0)
  end))

  it("sends errors with the task's traceback", in_task(function()
    local p = once(function()
      async.sleep(0)
      error "boom"
    end)
    local err = caught(p.run, p)
    assert.is_true(sk.is(err, "RunError"))
    assert.truthy(err.original_error:find "boom")
    assert.truthy(err.traceback:find "async_process_spec")
  end))

  it("reports a hook that waits for nothing", in_task(function()
    local p = once(function() async.Event():wait() end)
    local err = caught(p.run, p)
    assert.is_true(sk.is(err, "RunError"))
    assert.truthy(tostring(err):find("nobody will do", 1, true))
  end))

  it("costs lives and goes on", in_task(function()
    local tries = sk.Counter()
    local p = once(function()
      async.sleep(0)
      if tries:increment() < 3 then error "again" end
    end, { lives = 3 })
    p:run()
    assert.equal(3, tries.value)
  end))

  describe("limits", function()
    it("cancel what the hook waits for", in_task(function()
      local cleaned = sk.Flag()
      local p = once(function()
        local ok, err = async.pcall(async.sleep, 60)
        cleaned:set()
        if not ok then error(err, 0) end
      end, { timeouts = { run = 0.05 } })
      local err = caught(p.run, p)
      assert.is_true(sk.is(err, "ProcessTimeoutError"))
      assert.equal("run", err.section)
      assert.equal(0.05, err.timeout)
      assert.is_true(cleaned.value)
    end))

    it("leave the process alive for its other lives", in_task(function()
      local pids, tries = sk.Counter(), sk.Counter()
      local p = once(function(self)
        self.first = self.first or core.getpid()
        if tries:increment() == 1 then async.sleep(60) end
        pids:set(core.getpid() == self.first and 1 or 0)
      end, { lives = 2, timeouts = { run = 0.05 } })
      p:run()
      assert.equal(2, tries.value)
      assert.equal(1, pids.value) -- the same process went on
    end))

    it("end what computes, or waits again and again", in_task(function()
      for _, hook in ipairs {
        function() while true do end end,
        function() while true do async.pcall(async.sleep, 60) end end,
      } do
        local p = once(hook, { timeouts = { run = 0.05 } })
        local err = caught(p.run, p)
        assert.is_true(sk.is(err, "ProcessTimeoutError"))
      end
    end))

    it("hold for all of it: time_limit", in_task(function()
      local Long = async.Skprocess:extend "Long"
      function Long:init() self.config.time_limit = 0.05 end
      function Long:__run__() self:listen() end
      function Long.__result__() return "end" end
      assert.equal("end", Long():run())
    end))
  end)

  it("hears of a death", in_task(function()
    local p = Echo()
    p:start()
    local waiting = async.spawn(function() return p:result() end)
    settle()
    signal(SIGKILL, p.pid)
    local err = caught(waiting.await, waiting, 20)
    assert.is_true(sk.is(err, "ProcessDiedError"))
    assert.equal(9, err.signal)
  end))

  it("waits no longer than asked for a stopped process", in_task(function()
    local p = Echo()
    p:start()
    local pid = p.pid
    signal(SIGSTOP, pid)
    p:tell(1)
    local beats, why = beats_during(function()
      return select(2, p:listen(0.03))
    end)
    assert.equal("timeout", why)
    assert.is_true(beats >= 1)
    signal(SIGCONT, pid)
    assert.equal(1, p:listen(20))
    p:kill()
  end))

  it("loses nothing when a listen is cancelled", in_task(function()
    local p = Echo()
    p:start()
    local task = async.spawn(function() return p:listen() end)
    settle()
    p:tell(1)
    task:cancel()
    local ok, value = async.pcall(task.await, task)
    if not ok then value = p:listen(20) end
    assert.equal(1, value)
    p:kill()
  end))

  it("leaves the process alone when a wait is cancelled", in_task(function()
    local p = Count(5)
    p:start()
    local task = async.spawn(function() return p:result() end)
    settle()
    task:cancel()
    assert.is_true(sk.is(caught(task.await, task), "CancelledError"))
    assert.equal(5, p:result())
  end))

  it("kills while others wait", in_task(function()
    local p = Echo()
    p:start()
    local task = async.spawn(function() return p:wait() end)
    settle()
    p:kill()
    assert.is_true(task:await(1))
    assert.is_true(sk.is(caught(p.result, p), "ProcessDiedError"))
  end))

  it("takes its children with a parent that dies", function()
    local pids = sk.Counter()
    local parent = helper.fork(function()
      local p = Echo()
      p:start()
      pids:set(p.pid)
      require "suitkaise.core".sleep(60)
    end)
    helper.wait_until(function() return pids.value ~= 0 end)
    parent:kill()
    parent:finish()
    helper.wait_until(function() return core.gone(pids.value) end)
  end)

  it("is per call for other processes", in_task(function()
    local Plain = sk.Skprocess:extend "Plain"
    function Plain.__run__() require "suitkaise.core".sleep(0.02) end
    function Plain.__result__() return "done" end
    local p = Plain()
    p.config.runs = 1
    local beats, result = beats_during(function() return p:asynced():run() end)
    assert.equal("done", result)
    assert.is_true(beats >= 1)
    p:start()
    local view = p:asynced():timeout(0.001)
    assert.is_true(sk.is(caught(view.wait, view), "ResultTimeoutError"))
    assert.equal("closed", select(2, p:asynced():listen()))
    local Slow = sk.Skprocess:extend "Slow"
    function Slow.__run__() require "suitkaise.core".sleep(60) end
    local slow = Slow()
    slow:start()
    assert.is_false(slow:asynced():wait(0.001))
    slow:kill()
    p:start()
    beats, result = beats_during(function()
      return p:background():asynced():result():result()
    end)
    assert.equal("done", result)
    assert.is_true(beats >= 1)
  end))
end)
