-- Share for tasks: what waits holds up no other task, is as consistent as the
-- blocking face, and loses nothing when a task is cancelled.

local async_helper = require "spec.async_helper"

local core = require "suitkaise.core"
local fixture = require "spec.share_helper"
local helper = require "spec.helper"
local sk = require "suitkaise"

local async = sk.async
local run, beats_during = async_helper.run, async_helper.beats_during
local caught = async_helper.caught

local SIGKILL, SIGSTOP, SIGCONT = "KILL", "STOP", "CONT"

local Tally = sk.class "Tally"

function Tally:init() self.n, self.list = 0, {} end

function Tally:slowly(n)
  require "suitkaise.core".sleep(0.03)
  self.n = self.n + n
  return self.n
end

function Tally:bump()
  require "suitkaise.core".sleep(0.002)
  self.n = self.n + 1
end

function Tally.fail() error "no" end

local function signal(name, pid)
  os.execute("kill -" .. name .. " " .. pid)
end

local function wait_for_state(pid, letter)
  async_helper.wait_until(function()
    local f = io.open("/proc/" .. pid .. "/stat")
    if not f then return true end
    local text = f:read "*a"
    f:close()
    return text:match "%) (%a)" == letter
  end)
end

-- A test in a task with a share, which is stopped at the end.
local function with_share(test, options)
  return function()
    run(function()
      local share = async.Share(options)
      local ok, err = async.pcall(test, share)
      share:stop()
      if not ok then error(err, 0) end
    end)
  end
end

-- Call fn while the coordinator is stopped, until another task has run a few
-- times, or a shell says so: -> beats, result
local function while_stopped(share, fn, by_shell)
  local pid = share.coordinator_pid
  share:flush()
  signal(SIGSTOP, pid)
  wait_for_state(pid, "T")
  if by_shell then
    os.execute("(sleep 0.05; kill -CONT " .. pid .. ") &")
  else
    async.spawn(function()
      for _ = 1, 5 do async.sleep(0.001) end
      signal(SIGCONT, pid)
    end)
  end
  return beats_during(fn)
end

describe("async.Share", function()
  setup(fixture.start_default)
  after_each(fixture.clean_up)

  it("reads and writes like a Share", with_share(function(share)
    share.config = { fps = 60, tags = {} }
    share.config.tags[1] = "ranked"
    assert.equal(60, share.config.fps)
    assert.same({ fps = 60, tags = { "ranked" } }, sk.snapshot(share.config))
    share.config = nil
    assert.is_nil(share.config)
  end))

  -- Every way to wait: done while the coordinator is stopped.
  local function yields(what, fn, is_metamethod)
    it("yields in " .. what, with_share(function(share)
      share.n, share.list, share.tally = 1, { 1, 2 }, Tally()
      local plain = share.list
      local blocks = is_metamethod and not async_helper.loops_wait
      local beats = while_stopped(share, function() return fn(share, plain) end,
                                  blocks)
      assert.is_true(blocks or beats >= 1)
    end))
  end

  yields("a read", function(share)
    share.n = 2
    assert.equal(2, share.n)
  end, true)

  yields("a length", function(_, list)
    list[3] = 3
    assert.equal(3, #list)
  end, true)

  yields("increment", function(share)
    assert.equal(3, sk.increment(share, "n", 2))
  end)

  yields("update", function(share)
    sk.update(share, "n", function(n) return n + 1 end)
  end)

  yields("call", function(share)
    local tally = share.tally
    assert.equal(2, sk.call(tally, "slowly", 2))
  end)

  yields("a method", function(share)
    local tally = share.tally
    assert.equal(2, tally:slowly(2))
  end)

  yields("insert and remove", function(_, list)
    sk.insert(list, 3)
    assert.equal(3, sk.remove(list))
  end)

  yields("pairs and snapshot", function(_, list)
    list[3] = 3
    local n = 0
    for _ in sk.pairs(list) do n = n + 1 end
    assert.equal(3, n)
    assert.same({ 1, 2, 3 }, sk.snapshot(list))
  end)

  yields("flush", function(share)
    share.n = 2
    share:flush()
  end)

  yields("errors", function(share)
    share.n = 2
    assert.same({}, share:errors())
  end)

  yields("clear", function(share)
    share:clear()
    share:flush()
  end)

  yields("stop", function(share)
    share.n = 2
    assert.is_true(share:stop())
    share:start()
  end)

  it("yields in wait_for, and hears of changes", with_share(function(share)
    local beats, found = beats_during(function()
      return sk.wait_for(share, "done", true, 0.03)
    end)
    assert.is_false(found)
    assert.is_true(beats >= 1)
    local child = helper.fork(function()
      require "suitkaise.core".sleep(0.02)
      share.done = true
    end)
    beats, found = beats_during(function()
      return sk.wait_for(share, "done", true, 20)
    end)
    assert.is_true(found)
    assert.is_true(beats >= 1)
    assert.equal(0, child:finish())
    assert.is_true(sk.wait_for(share, "done", function(v) return v end, 0))
  end))

  it("raises what methods raise", with_share(function(share)
    share.tally = Tally()
    local tally = share.tally
    assert.is_true(sk.is(caught(sk.call, tally, "fail"), "ShareCallError"))
    assert.is_true(sk.is(caught(sk.increment, share, "nothing"), "ShareError"))
  end))

  it("does a call of a cancelled task exactly once", with_share(
    function(share)
      share.tally = Tally()
      local tally = share.tally
      for i = 1, 80 do -- more than there are places for answers
        local task = async.spawn(function()
          if i % 2 == 0 then return sk.increment(share, "n") end
          return sk.call(tally, "slowly", 1)
        end)
        if i == 1 then share.n = 0 end
        async.sleep(0)
        async.sleep(0)
        task:cancel()
        local ok, err = async.pcall(task.await, task)
        assert.is_true(ok or sk.is(err, "CancelledError"))
        if i % 20 == 0 then share:flush() end
      end
      share:flush()
      assert.equal(40, sk.snapshot(tally).n)
      assert.equal(40, sk.snapshot(share).n)
    end))

  it("serves many tasks at once", with_share(function(share)
    share.n = 0
    local tasks = {}
    for i = 1, 50 do
      tasks[i] = async.spawn(function()
        for _ = 1, 10 do sk.increment(share, "n") end
      end)
    end
    async.gather(tasks)
    share:flush()
    assert.equal(500, sk.snapshot(share).n)
  end))

  it("reads past steady writers: only what was before counts", with_share(
    function(share)
      share.tally = Tally()
      local tally, stop = share.tally, sk.Flag()
      local children = {}
      for i = 1, 4 do -- so that there is always a call under way
        children[i] = helper.fork(function()
          while not stop.value do sk.call(share.tally, "bump") end
        end)
      end
      async_helper.wait_until(function() return sk.snapshot(tally).n > 4 end)
      for _ = 1, 5 do
        local before = sk.snapshot(tally).n
        sk.call(tally, "bump")
        assert.is_true(tally.n > before)
      end
      stop:set()
      for _, child in ipairs(children) do assert.equal(0, child:finish()) end
    end, { read_timeout = 2 }))

  it("is woken by the change that it waits for", with_share(function(share)
    share.n = 0
    share:flush()
    local watch = core.cells_watch()
    local waiting = async.spawn(function()
      return sk.wait_for(share, "n", 1, 20)
    end)
    async.sleep(0.02)
    assert.equal(0, helper.fork(function()
      share.n = 1
      share:flush()
    end):finish())
    assert.is_true(core.readable(watch:fd())) -- the one it listens to, too
    watch:close()
    assert.is_true(waiting:await())
  end))

  it("sees its coordinator replaced", with_share(function(share)
    share.n = 1
    share:flush()
    for _ = 1, 3 do
      signal(SIGKILL, share.coordinator_pid)
      sk.increment(share, "n")
    end
    assert.equal(4, sk.snapshot(share).n)
  end))

  it("has the timeouts of a Share", with_share(function(share)
    share.n = 1
    share:flush()
    local pid = share.coordinator_pid
    signal(SIGSTOP, pid)
    wait_for_state(pid, "T")
    share.n = 2
    local beats, err = beats_during(function()
      return caught(sk.snapshot, share)
    end)
    signal(SIGCONT, pid)
    assert.is_true(sk.is(err, "ShareTimeoutError"))
    assert.is_true(beats >= 1)
  end, { read_timeout = 0.05 }))

  it("is refused while stopped, like a Share", with_share(function(share)
    share:stop()
    share.n = 2
    assert.is_true(sk.is(caught(sk.snapshot, share), "ShareStoppedError"))
    share:start()
    assert.equal(2, sk.snapshot(share).n)
  end))

  it("waits while its lane is full", with_share(function(share)
    local text = ("x"):rep(60000)
    share.items = {}
    local items = share.items
    local beats = while_stopped(share, function()
      for _ = 1, 40 do sk.insert(items, text) end
    end)
    assert.is_true(beats >= 1)
    assert.equal(40, #sk.snapshot(items))
  end))

  it("waits for room that writes leave", with_share(function(share)
    local text, dict = ("x"):rep(60000), sk.Dict{}
    share.dict = dict
    share:flush()
    local pid = share.coordinator_pid
    signal(SIGSTOP, pid)
    wait_for_state(pid, "T")
    local view = share.dict
    local writer = async.spawn(function()
      for i = 1, 200 do view:set("k" .. i, text) end -- 12 MB: more than fit
    end)
    local beats = beats_during(function() async.sleep(0.05) end)
    signal(SIGCONT, pid)
    assert.is_true(beats >= 1)
    writer:await()
    assert.equal(200, #view:keys())
  end))

  it("blocks outside of tasks", function()
    local share = async.Share()
    share.n = 1
    assert.equal(2, sk.increment(share, "n"))
    assert.equal(2, share.n)
    assert.is_true(sk.wait_for(share, "n", 2, 0))
    share:stop()
  end)

  it("is a view of any Share", function()
    local plain = sk.Share()
    plain.t = { 1 }
    local view = plain:asynced()
    assert.is_true(view == view:asynced())
    assert.is_true(view.t == plain.t)
    run(function()
      local t = view.t
      local beats = while_stopped(view, function()
        return sk.remove(t)
      end)
      assert.is_true(beats >= 1)
    end)
    assert.equal(0, #plain.t)
    assert.is_false(pcall(function() plain.asynced = 1 end))
    plain:stop()
  end)

  it("goes to other processes as what it is", with_share(function(share)
    share.n = 1
    local far = sk.skf(function()
      local a = require "suitkaise".async
      return a.run(function()
        return require "suitkaise".increment(share, "n")
      end)
    end):asynced():timeout(20, { isolate = true })
    assert.equal(2, far())
    local bytes = sk.cerial.serialize(share)
    local copy = sk.cerial.deserialize(bytes, { trusted = true })
    assert.is_true(copy == share)
  end))

  it("has Dict, List and Results for tasks", function()
    local dict, list = sk.Dict{ a = 1 }, sk.List{ 1, 2 }
    local results = sk.Results(2)
    run(function()
      assert.equal(1, dict:asynced():pop "a")
      assert.equal(2, list:asynced():pop())
      results:asynced():set(1, "x")
      assert.equal("x", results:asynced():get(1))
      assert.is_true(list:asynced() == list)
    end)
    assert.equal(1, #list)
  end)
end)
