-- What a Timer promises: it measures each coroutine and process for itself, and
-- it travels. Its statistics are in sktime_statistics_spec.

local cerial = require "suitkaise.cerial"
local core = require "suitkaise.core"
local errors = require "suitkaise.errors"
local helper = require "spec.helper"
local sk = require "suitkaise"
local sktime = require "suitkaise.sktime"

local Timer = sktime.Timer

-- The ArgumentError that fn(...) raises.
local function refusal(fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  assert.is_true(errors.is(err, "ArgumentError"), tostring(err))
  return err
end

local function until_after(moment)
  repeat local now = core.now() until now > moment
end

-- Let measurable time go by.
local function spend(seconds)
  until_after(core.now() + (seconds or 0.0005))
end

describe("Timer", function()
  after_each(helper.nothing_left)

  describe("measures", function()
    it("from start to stop, which returns the seconds", function()
      local timer = Timer()
      local before = core.now()
      timer:start()
      spend()
      local seconds = timer:stop()
      local around = core.now() - before
      assert.is_true(seconds >= 0.0005 and seconds <= around)
      assert.equal(1, timer.num_times)
      assert.equal(seconds, timer.most_recent)
      assert.equal(seconds, timer:get_time(1))
    end)

    it("laps, each from the one before", function()
      local timer = Timer()
      local before = core.now()
      timer:start()
      spend()
      local first = timer:lap()
      spend(0.001)
      local second = timer:lap()
      local third = timer:stop()
      local around = core.now() - before
      assert.is_true(first >= 0.0005 and second >= 0.001 and third >= 0)
      assert.is_true(first + second + third <= around)
      assert.same({ first, second, third }, timer.times)
    end)

    it("without the pauses, and adds those up", function()
      local timer = Timer()
      local before = core.now()
      timer:start()
      timer:pause()
      spend(0.002)
      timer:resume()
      spend(0.001)
      timer:pause()
      spend(0.002)
      timer:resume()
      local seconds = timer:stop()
      local around = core.now() - before
      local paused = timer.total_time_paused
      assert.is_true(seconds >= 0.001 and paused >= 0.004)
      assert.is_true(seconds + paused <= around + 1e-9)
    end)

    it("once when it is paused twice, and no pause without one", function()
      local timer = Timer()
      timer:start()
      timer:pause()
      spend()
      timer:pause()
      timer:resume()
      timer:resume()
      timer:stop()
      assert.is_true(timer.total_time_paused >= 0.0005)
      timer:reset()
      timer:start()
      timer:resume()
      timer:stop()
      assert.equal(0, timer.total_time_paused)
    end)

    it("up to the pause when it is stopped in one", function()
      local timer = Timer()
      local before = core.now()
      timer:start()
      timer:pause()
      local paused_at = core.now()
      spend(0.003)
      assert.is_true(timer:stop() <= paused_at - before)
      assert.is_true(timer.total_time_paused >= 0.003)
    end)

    it("goes on being paused after a lap in a pause", function()
      local timer = Timer()
      timer:start()
      timer:pause()
      spend()
      local lap = timer:lap()
      assert.equal(lap, timer.most_recent)
      local paused = timer.total_time_paused
      assert.is_true(paused >= 0.0005)
      spend()
      assert.equal(0, timer:stop())
      assert.is_true(timer.total_time_paused >= paused + 0.0005)
    end)

    it("nested, the innermost first", function()
      local timer = Timer()
      timer:start()
      spend()
      timer:start()
      local inner = timer:stop()
      local outer = timer:stop()
      assert.is_true(outer >= inner + 0.0005)
      assert.same({ inner, outer }, timer.times)
    end)

    it("nested pauses for themselves", function()
      local timer = Timer()
      timer:start()
      timer:start()
      timer:pause()
      spend(0.002)
      timer:stop()
      local outer = timer:stop()
      assert.is_true(outer >= 0.002)
    end)

    it("and forgets what is discarded", function()
      local timer = Timer()
      timer:start()
      timer:start()
      spend()
      assert.is_true(timer:discard() >= 0.0005)
      assert.equal(0, timer.num_times)
      timer:stop()
      assert.equal(1, timer.num_times)
    end)

    it("returns itself from start", function()
      local timer = Timer()
      assert.equal(timer, timer:start())
      timer:discard()
    end)
  end)

  describe("raises when nothing was started:", function()
    for _, name in ipairs { "stop", "lap", "pause", "resume", "discard" } do
      it(name, function()
        local timer = Timer()
        local ok, err = pcall(function() timer[name](timer) end)
        assert.is_false(ok)
        assert.is_true(errors.is(err, "Error"))
        assert.equal("Timer:" .. name
          .. ": nothing was started in this coroutine", err.message)
        assert.matches("sktime_timer_spec.lua:%d+$", err.where)
        assert.equal(0, timer.num_times)
      end)

      it(name .. ", also after as many stops as starts", function()
        local timer = Timer()
        timer:start():start()
        timer:stop()
        timer:stop()
        assert.is_false((pcall(timer[name], timer)))
        assert.equal(2, timer.num_times)
      end)
    end
  end)

  describe("in coroutines", function()
    it("measures each for itself", function()
      local timer = Timer()
      local function body()
        timer:start()
        coroutine.yield()
        return timer:stop()
      end
      local a, b = coroutine.wrap(body), coroutine.wrap(body)
      a()
      spend(0.002)
      b()
      local of_b = b()
      spend(0.001)
      local of_a = a()
      assert.is_true(of_a >= 0.003 and of_a >= of_b + 0.003)
      assert.same({ of_b, of_a }, timer.times)
    end)

    it("does not stop what another one started", function()
      local timer = Timer()
      timer:start()
      coroutine.wrap(function()
        assert.is_false((pcall(timer.stop, timer)))
        timer:start()
      end)()
      timer:stop()
      assert.is_false((pcall(timer.stop, timer)))
      assert.equal(1, timer.num_times)
    end)

    it("keeps neither a coroutine that is gone nor a timer", function()
      local timer = Timer()
      local gone = setmetatable({}, { __mode = "k" })
      do
        local co = coroutine.create(function() timer:start() end)
        gone[co] = true
        coroutine.resume(co)
        local other = Timer()
        gone[other] = true
        other:start()
      end
      collectgarbage()
      collectgarbage()
      assert.is_nil(next(gone))
      assert.equal(0, timer.num_times)
    end)
  end)

  describe("in a forked child", function()
    it("does not stop what the parent started", function()
      local timer = Timer()
      timer:start()
      helper.in_child(function()
        assert(not pcall(timer.stop, timer))
        timer:start()
        timer:stop()
        assert(timer.num_times == 1)
      end)
      timer:stop()
      assert.equal(1, timer.num_times)
    end)

    -- The mark of a process is random: its digits must not matter.
    it("finds what it started itself, in compiled code too", function()
      for _ = 1, 30 do
        helper.in_child(function()
          local timer = Timer{ max_times = 1 }
          for _ = 1, 300 do
            timer:start()
            timer:stop()
          end
        end)
      end
    end)

    it("keeps what the parent had measured", function()
      local timer = Timer()
      timer:add_time(1)
      helper.in_child(function()
        timer:add_time(3)
        assert(timer.mean == 2)
      end)
      assert.equal(1, timer.mean)
    end)

    it("does not keep a block that the parent had begun", function()
      local timer = Timer()
      local block = sktime.TimeThis(timer)
      helper.in_child(function()
        getmetatable(block).__close(block, nil)
        assert(timer.num_times == 0)
      end)
      block:stop()
      assert.equal(1, timer.num_times)
    end)
  end)

  describe("reset", function()
    it("makes it as new", function()
      local timer = Timer{ max_times = 2 }
      for i = 1, 5 do timer:add_time(i, i) end
      timer:start()
      timer:reset()
      assert.same(Timer{ max_times = 2 }:statistics(), timer:statistics())
      assert.is_false((pcall(timer.stop, timer)))
      timer:add_time(7)
      assert.equal(7, timer.mean)
    end)
  end)

  it("refuses wrong arguments", function()
    local timer = Timer()
    for _, bad in ipairs { -1, 0 / 0, math.huge, -math.huge, "1", {} } do
      assert.equal("seconds", refusal(timer.add_time, timer, bad).argument)
      assert.equal("paused", refusal(timer.add_time, timer, 1, bad).argument)
    end
    assert.equal("seconds", refusal(timer.add_time, timer).argument)
    assert.matches("must be a finite number of seconds",
                   refusal(timer.add_time, timer, math.huge).message, 1, true)
    assert.equal(0, timer.num_times)
    for _, bad in ipairs { -1, 101, 0 / 0, "50" } do
      assert.equal("p", refusal(timer.percentile, timer, bad).argument)
    end
    assert.equal("i", refusal(timer.get_time, timer, 1.5).argument)
    assert.equal("i", refusal(timer.get_time, timer).argument)
    assert.equal("i", refusal(timer.get_time, timer, 0 / 0).argument)
  end)

  it("refuses that a statistic, an option or a method is assigned", function()
    local timer = Timer{ max_times = 3 }
    timer:add_time(2)
    for _, name in ipairs { "mean", "num_times", "times", "start",
                            "max_times" } do
      local err = refusal(function() timer[name] = 5 end)
      assert.equal(name, err.argument)
      assert.matches("sktime_timer_spec.lua:%d+$", err.where)
    end
    assert.equal(2, timer.mean)
    assert.equal(3, timer.max_times)
    assert.is_nil(timer.label)
    timer.label = "requests" -- other fields are its user's
    assert.equal("requests", timer.label)
  end)

  it("names the nearest option when one is misspelt", function()
    assert.matches('did you mean "max_times"',
                   refusal(Timer, { max_time = 3 }).message, 1, true)
    for _, bad in ipairs { 0, 1.5, -1, "3", 0 / 0, math.huge } do
      local err = refusal(Timer, { max_times = bad })
      assert.equal("max_times", err.argument)
      assert.matches("sktime_timer_spec.lua:%d+$", err.where)
    end
  end)

  it("says so when a method is called with a dot", function()
    local timer = Timer()
    for _, name in ipairs { "start", "stop", "lap", "pause", "resume",
                            "discard", "add_time", "reset", "percentile",
                            "get_time", "statistics", "report", "to_svg" } do
      assert.equal("self", refusal(timer[name], 1).argument)
      assert.equal("self", refusal(timer[name]).argument)
    end
  end)

  it("is an object of its class and a line of text", function()
    local timer = Timer()
    assert.is_true(sk.is(timer, "Timer"))
    assert.equal("Timer: no times", tostring(timer))
    timer:add_time(0.5)
    timer:add_time(0.25)
    assert.equal("Timer: 2 times, mean 375 ms", tostring(timer))
  end)

  it("may have classes below it", function()
    local Lap = sk.class("Lap", Timer)
    function Lap:init() Timer.reset(self) end
    local lap = Lap()
    lap:start()
    lap:stop()
    assert.equal(1, lap.num_times)
    assert.equal(lap.mean, lap.most_recent)
  end)

  describe("by cerial", function()
    local function copy(value)
      return cerial.deserialize(cerial.serialize(value))
    end

    it("keeps its times and its statistics", function()
      for _, opts in ipairs { {}, { max_times = 3 } } do
        local timer = Timer(opts)
        for i = 1, 5 do timer:add_time(i / 8, i) end
        local arrived = copy(timer)
        assert.same(timer:statistics(), arrived:statistics())
        assert.equal(timer:percentile(95), arrived:percentile(95))
        arrived:add_time(9)
        timer:add_time(9)
        assert.same(timer:statistics(), arrived:statistics())
      end
    end)

    it("leaves open measurements at home", function()
      local timer = Timer()
      timer:start()
      local arrived = copy(timer)
      assert.is_false((pcall(arrived.stop, arrived)))
      timer:stop()
      assert.equal(0, arrived.num_times)
    end)

    it("takes a timed function and a Yawn along", function()
      local timed = sktime.timethis(function(x) return x + 1 end, Timer())
      timed(1)
      local all = cerial.deserialize(cerial.serialize(timed),
                                     { trusted = true })
      assert.equal(5, all(4))
      assert.equal(2, all.timer.num_times)
      local yawn = copy(sktime.Yawn(0, 2))
      assert.is_false(yawn())
      assert.is_true(yawn())
    end)

    it("is found by its name where it was not loaded", function()
      local bytes = cerial.serialize {
        timer = Timer(), yawn = sktime.Yawn(0, 1),
        timed = sktime.timethis(math.abs, Timer()),
        circuit = sk.Circuit(),
      }
      local hex = bytes:gsub(".", function(c)
        return ("%02x"):format(c:byte())
      end)
      assert.equal("5\t1\ttrue\tclosed\n", helper.run([[
        local cerial = require "suitkaise.cerial"
        local bytes = ("]] .. hex .. [["):gsub("..", function(h)
          return string.char(tonumber(h, 16))
        end)
        local all = cerial.deserialize(bytes, { trusted = true })
        print(all.timed(-5), all.timed.timer.num_times, all.yawn(),
              all.circuit.state)]]))
    end)

    it("arrives from a worker of a Pool", function()
      local pool = sk.Pool{ workers = 1 }
      local timers = pool:map(function(n)
        local timer = require "suitkaise.sktime".Timer()
        for i = 1, n do timer:add_time(i) end
        return timer
      end, { 3 })
      pool:close()
      assert.equal(2, timers[1].median)
    end)
  end)

  -- What a Share does: methods that run here get a proxy.
  describe("by a proxy", function()
    local function proxy_of(timer, log)
      return setmetatable({}, { __index = function(_, key)
        local here = Timer._shared_local[key]
        if here then return here end
        if not Timer._shared_meta.methods[key] then return timer[key] end
        return function(_, ...)
          log[#log + 1] = { key, ... }
          return Timer[key](timer, ...)
        end
      end })
    end

    it("measures here and sends only add_time", function()
      local timer, log = Timer(), {}
      local proxy = proxy_of(timer, log)
      proxy:start()
      proxy:pause()
      spend()
      proxy:resume()
      local lap = proxy:lap()
      proxy:start()
      proxy:discard()
      local seconds = proxy:stop()
      assert.equal(2, #log)
      assert.same({ "add_time", lap }, { log[1][1], log[1][2] })
      assert.is_true(log[1][3] >= 0.0005)
      assert.same({ "add_time", seconds, 0 }, log[2])
      assert.equal(2, proxy.num_times)
    end)

    it("keeps one that nobody else holds while it measures", function()
      local timer, log = Timer(), {}
      local kept = setmetatable({}, { __mode = "kv" })
      local function proxy()
        kept.proxy = kept.proxy or proxy_of(timer, log)
        return kept.proxy
      end
      proxy():start()
      collectgarbage()
      collectgarbage()
      proxy():stop()
      assert.equal(1, timer.num_times)
      collectgarbage()
      collectgarbage()
      assert.is_nil(kept.proxy)
    end)

    it("times functions and blocks", function()
      local timer, log = Timer(), {}
      local proxy = proxy_of(timer, log)
      sktime.timethis(function() end, proxy)()
      sktime.TimeThis(function() end, proxy)
      sktime.TimeThis(proxy):stop()
      assert.equal(3, timer.num_times)
      assert.equal(3, #log)
    end)

    it("declares every method and every statistic", function()
      local meta = Timer._shared_meta
      for name, method in pairs(Timer) do
        if type(method) == "function" and not name:find "^_" then
          assert.is_true(Timer._shared_local[name] ~= nil
                         or meta.methods[name] ~= nil, name)
        end
      end
      for name in pairs(Timer():statistics()) do
        assert.equal("table", type(meta.properties[name].reads), name)
      end
    end)

    it("writes what it declares and nothing else", function()
      for name, method in pairs(Timer._shared_meta.methods) do
        local declared, timer = {}, Timer{ max_times = 2 }
        for _, field in ipairs(method.writes) do declared[field] = true end
        local watched = setmetatable({}, {
          __index = timer,
          __newindex = function(_, key, value)
            assert.is_true(declared[key], key)
            timer[key] = value
          end,
        })
        for _ = 1, 5 do Timer[name](watched, 1, 1) end
      end
    end)
  end)

  describe("in a Share", function()
    -- Each in a process of its own, with which all of its share goes.
    local function promise(what, fn)
      it(what, function()
        helper.in_child(function()
          local share = sk.Share()
          fn(share)
          share:stop()
        end)
      end)
    end

    promise("gets the times of all processes", function(share)
      share.timer = Timer{ max_times = 10 }
      for i = 1, 3 do
        helper.in_child(function() share.timer:add_time(i) end)
      end
      share.timer:add_time(6)
      local timer = share.timer
      assert.equal(4, timer.num_times)
      assert.equal(3, timer.mean)
      assert.equal(6, timer.max)
      assert.equal(2.5, timer.median)
      assert.equal(2.5, timer:percentile(50))
      assert.equal(2, timer:get_time(2))
      assert.same({ 1, 2, 3, 6 }, timer:statistics().times)
    end)

    promise("measures where it is called", function(share)
      share.timer = Timer()
      share.timer:start()
      helper.in_child(function()
        assert(not pcall(share.timer.stop, share.timer))
        share.timer:start()
        spend()
        share.timer:stop()
      end)
      collectgarbage()
      collectgarbage()
      share.timer:pause()
      spend()
      share.timer:resume()
      local seconds = share.timer:stop()
      assert.equal(2, share.timer.num_times)
      assert.equal(seconds, share.timer.most_recent)
      assert.is_true(share.timer:get_time(1) >= 0.0005)
      assert.is_true(share.timer.total_time_paused >= 0.0005)
    end)

    promise("keeps what one had added that was killed", function(share)
      share.timer = Timer()
      local added = sk.Flag()
      local child = helper.fork(function()
        for i = 1, 100 do share.timer:add_time(i) end
        share.timer:start()
        added:set()
        helper.wait_until(function() return false end)
      end)
      assert.is_true(added:wait(20))
      child:kill()
      child:finish()
      assert.equal(100, share.timer.num_times)
      assert.equal(5050, share.timer.total_time)
      share.timer:start()
      share.timer:stop()
      assert.equal(101, share.timer.num_times)
      assert.is_false(pcall(function() share.timer:stop() end))
    end)

    promise("refuses that a statistic is assigned", function(share)
      share.timer, share.inside = Timer(), { timer = Timer() }
      for _, timer in ipairs { share.timer, share.inside.timer } do
        timer:add_time(2)
        local err = refusal(function() timer.mean = 5 end)
        assert.matches("sktime_timer_spec.lua:%d+$", err.where)
        assert.equal(2, timer.mean)
      end
    end)

    promise("times blocks and functions", function(share)
      share.timer = Timer()
      sktime.TimeThis(function() end, share.timer)
      sktime.TimeThis(share.timer):stop()
      sktime.timethis(function() end, share.timer)()
      assert.equal(3, share.timer.num_times)
    end)

    promise("is made as new by reset, with what is open here", function(share)
      share.timer = Timer()
      share.timer:add_time(1)
      share.timer:start()
      share.timer:reset()
      assert.equal(0, share.timer.num_times)
      assert.is_false((pcall(share.timer.stop, share.timer)))
    end)

    promise("is reported and drawn here", function(share)
      share.timer = Timer()
      share.timer:add_time(1)
      local written = {}
      local text = share.timer:report({ write = function(_, ...)
        for _, s in ipairs { ... } do written[#written + 1] = s end
      end })
      assert.matches("^Timer: 1 time\n", text)
      assert.equal(text .. "\n", table.concat(written))
      assert.matches("^<%?xml", share.timer:to_svg())
    end)

    promise("takes no wrong time from anybody", function(share)
      share.timer = Timer()
      for _, bad in ipairs { -1, 0 / 0, "1" } do
        pcall(share.timer.add_time, share.timer, bad)
      end
      pcall(share.flush, share)
      assert.equal(0, share.timer.num_times)
    end)
  end)
end)
