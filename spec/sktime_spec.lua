-- What sktime promises besides Timer: clocks, sleep, Yawn, and what times
-- blocks and functions.

local core = require "suitkaise.core"
local errors = require "suitkaise.errors"
local helper = require "spec.helper"
local sk = require "suitkaise"
local sktime = require "suitkaise.sktime"

local Timer = sktime.Timer
local pack = table.pack or function(...)
  return { n = select("#", ...), ... }
end

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

describe("sktime", function()
  after_each(helper.nothing_left)

  describe("time", function()
    it("is the time of the system's clock, with a fraction", function()
      local before = os.time()
      local t = sktime.time()
      local after = os.time()
      -- os.time may read a clock that is a tick behind
      assert.is_true(t >= before and t < after + 2)
      helper.wait_until(function()
        return sktime.time() % 1 ~= 0
      end)
    end)
  end)

  describe("sleep", function()
    it("sleeps at least so long and returns the time", function()
      local before, began = sktime.time(), core.now()
      local after = sktime.sleep(0.01)
      assert.is_true(core.now() - began >= 0.01)
      assert.is_true(after > before and after <= sktime.time())
    end)

    it("of nothing returns at once", function()
      assert.equal("number", type(sktime.sleep(0)))
    end)

    if helper.lua == "luajit" then
      it("is not cut short by a signal", function()
        local SIGUSR1 = 10
        local child = helper.fork(function()
          local ffi = require "ffi"
          ffi.cdef "void (*signal(int, void (*)(int)))(int); int abs(int);"
          -- any function of C will do for a handler
          ffi.C.signal(SIGUSR1, ffi.cast("void (*)(int)", ffi.C.abs))
          local began = core.now()
          sktime.sleep(0.3)
          assert(core.now() - began >= 0.3)
        end)
        child:until_asleep()
        child:kill(SIGUSR1)
        assert.equal(0, (child:finish()))
      end)
    end

    it("refuses what is no number of seconds", function()
      for _, bad in ipairs { -1, 0 / 0, math.huge, "1", {} } do
        assert.equal("seconds", refusal(sktime.sleep, bad).argument)
      end
      assert.equal("seconds", refusal(sktime.sleep).argument)
    end)

    it("says by its full name what it takes: a finite number", function()
      assert.equal("sktime.sleep: seconds must be a finite number of seconds "
        .. "of at least 0, got inf", refusal(sktime.sleep, math.huge).message)
    end)
  end)

  describe("elapsed", function()
    it("is the distance of two times in either order", function()
      assert.equal(2.5, sktime.elapsed(1, 3.5))
      assert.equal(2.5, sktime.elapsed(3.5, 1))
      assert.equal(0, sktime.elapsed(7, 7))
    end)

    it("takes now for a second time that is left out", function()
      local e = sktime.elapsed(sktime.time() - 100)
      assert.is_true(e >= 100 and e < 160)
    end)

    it("refuses what is no time", function()
      assert.equal("t1", refusal(sktime.elapsed).argument)
      assert.equal("t1", refusal(sktime.elapsed, 0 / 0, 1).argument)
      assert.equal("t2", refusal(sktime.elapsed, 1, "2").argument)
      assert.equal("t2", refusal(sktime.elapsed, 1, math.huge).argument)
      assert.equal("sktime.elapsed: t1 must be a finite number of seconds, "
        .. "got -inf", refusal(sktime.elapsed, -math.huge).message)
    end)
  end)

  describe("Yawn", function()
    it("sleeps on every nth call and says so", function()
      local slept = {}
      local yawn = sktime.Yawn(0.25, 3, function(s)
        slept[#slept + 1] = s
      end)
      local answers = {}
      for i = 1, 7 do answers[i] = yawn() end
      assert.same({ false, false, true, false, false, true, false }, answers)
      assert.same({ 0.25, 0.25 }, slept)
    end)

    it("sleeps by itself when no other sleep is given", function()
      local began = core.now()
      assert.is_true(sktime.Yawn(0.01, 1)())
      assert.is_true(core.now() - began >= 0.01)
    end)

    it("counts anew after a reset", function()
      local yawn = sktime.Yawn(0, 2)
      yawn()
      assert.equal(1, yawn.count)
      yawn:reset()
      assert.is_false(yawn())
      assert.is_true(yawn())
    end)

    it("refuses wrong arguments", function()
      assert.equal("seconds", refusal(sktime.Yawn, -1, 1).argument)
      assert.equal("yawns", refusal(sktime.Yawn, 1, 0).argument)
      assert.equal("yawns", refusal(sktime.Yawn, 1, 1.5).argument)
      assert.equal("yawns", refusal(sktime.Yawn, 1).argument)
      assert.equal("sleep", refusal(sktime.Yawn, 1, 1, 1).argument)
    end)

    it("says so when a method is called with a dot", function()
      for _, name in ipairs { "reset", "asynced" } do
        assert.equal("self", refusal(sktime.Yawn[name], 5).argument)
        assert.equal("self", refusal(sktime.Yawn[name]).argument)
      end
    end)
  end)

  it("is loaded without the rest and starts nothing", function()
    local loaded = helper.run [[
      local sktime = require "suitkaise.sktime"
      local timer = sktime.Timer{ max_times = 3 }
      timer:start()
      timer:stop()
      local names = {}
      for name in pairs(package.loaded) do
        if name:find "^suitkaise" then names[#names + 1] = name end
      end
      table.sort(names)
      print(table.concat(names, " "))
      local f = io.open "/proc/self/maps"
      print(f and f:read "*a":find "/memfd:" or "no segment")]]
    assert.equal("suitkaise.cerial.registry suitkaise.computed "
      .. "suitkaise.core suitkaise.each suitkaise.errors suitkaise.is "
      .. "suitkaise.options suitkaise.sktime suitkaise.sktime.clock "
      .. "suitkaise.sktime.open suitkaise.sktime.statistics "
      .. "suitkaise.sktime.timer\nno segment\n",
      loaded)
  end)

  it("is a field of suitkaise", function()
    assert.equal(sktime, sk.sktime)
    assert.equal(sktime.Timer, sktime.Sktimer)
  end)
end)

describe("TimeThis", function()
  after_each(helper.nothing_left)

  it("calls a function and returns the timer and the results", function()
    local results = pack(sktime.TimeThis(function() return 1, nil, 3 end))
    assert.equal(4, results.n)
    assert.equal(1, results[1].num_times)
    assert.same({ 1, nil, 3 }, { results[2], results[3], results[4] })
  end)

  it("adds to a timer that is given, and gives it to the function",
     function()
    local timer = Timer()
    local got
    assert.equal(timer, (sktime.TimeThis(function(t)
      got = t
      t:pause()
      spend()
      t:resume()
    end, timer)))
    assert.equal(timer, got)
    assert.equal(1, timer.num_times)
    assert.is_true(timer.total_time_paused >= 0.0005)
  end)

  it("does not keep a block that raised, and raises the same", function()
    local timer, what = Timer(), {}
    timer:start()
    local ok, err = pcall(sktime.TimeThis, function(t)
      t:start()
      error(what)
    end, timer)
    assert.is_false(ok)
    assert.equal(what, err)
    assert.equal(0, timer.num_times)
    timer:stop()
    assert.is_false((pcall(timer.stop, timer)))
  end)

  it("without a function begins a block that stop ends", function()
    local t = sktime.TimeThis()
    spend()
    t:pause()
    t:resume()
    assert.is_true(t:stop() >= 0.0005)
    assert.equal(1, t.num_times)
    assert.equal(t.most_recent, t:percentile(50))
    assert.equal(1, t.timer.num_times)
  end)

  it("takes a timer alone", function()
    local timer = Timer()
    sktime.TimeThis(timer):stop()
    sktime.TimeThis(nil, timer):stop()
    assert.equal(2, timer.num_times)
  end)

  it("refuses wrong arguments", function()
    assert.equal("fn", refusal(sktime.TimeThis, 1).argument)
    assert.equal("timer",
                 refusal(sktime.TimeThis, function() end, 1).argument)
    assert.equal("fn", refusal(sktime.TimeThis, 1, Timer()).argument)
  end)

  -- The same by hand where the syntax is missing.
  local function close(block, err)
    getmetatable(block).__close(block, err)
  end

  it("ends a block where its variable ends", function()
    local timer = Timer()
    local block = sktime.TimeThis(timer)
    spend()
    close(block)
    assert.equal(1, timer.num_times)
    assert.is_true(timer.most_recent >= 0.0005)
    assert.is_false((pcall(timer.stop, timer)))
  end)

  it("keeps no block that ended by an error", function()
    local timer = Timer()
    close(sktime.TimeThis(timer), "error")
    assert.equal(0, timer.num_times)
    assert.is_false((pcall(timer.stop, timer)))
  end)

  it("keeps a block that was stopped by hand once", function()
    local timer = Timer()
    timer:start()
    local block = sktime.TimeThis(timer)
    block:stop()
    timer:start()
    close(block)
    assert.equal(1, timer.num_times)
    timer:stop()
    timer:stop()
    assert.equal(3, timer.num_times)
  end)

  it("takes what was started in a block and not stopped with it", function()
    local timer = Timer()
    local block = sktime.TimeThis(timer)
    timer:start()
    close(block)
    assert.equal(1, timer.num_times)
    assert.is_false((pcall(timer.stop, timer)))
  end)

  it("forgets a block when the timer is reset in it", function()
    local timer = Timer()
    local block = sktime.TimeThis(timer)
    timer:reset()
    close(block)
    assert.equal(0, timer.num_times)
  end)

  if _VERSION == "Lua 5.4" then
    it("is closed by Lua 5.4", function()
      local timer = Timer()
      local code = assert(load [[
        local sktime, timer, fails = ...
        local t <close> = sktime.TimeThis(timer)
        if fails then error "no" end]])
      code(sktime, timer, false)
      assert.is_false((pcall(code, sktime, timer, true)))
      assert.equal(1, timer.num_times)
    end)
  end
end)

describe("timethis", function()
  after_each(helper.nothing_left)

  it("times each call and changes nothing else of it", function()
    local timed = sktime.timethis(function(...)
      return select("#", ...), ...
    end)
    local results = pack(timed(nil, 2, nil))
    assert.equal(4, results.n)
    assert.equal(3, results[1])
    assert.equal(2, results[3])
    assert.equal(1, timed.timer.num_times)
  end)

  it("adds to a timer that is given", function()
    local timer = Timer()
    local timed = sktime.timethis(spend, timer)
    timed()
    timed()
    assert.equal(timer, timed.timer)
    assert.equal(2, timer.num_times)
    assert.is_true(timer.min >= 0.0005)
  end)

  it("does not keep a call that raised", function()
    local what = {}
    local timed = sktime.timethis(function() error(what) end, Timer())
    local ok, err = pcall(timed)
    assert.is_false(ok)
    assert.equal(what, err)
    assert.equal(0, timed.timer.num_times)
  end)

  it("times what yields", function()
    local timed = sktime.timethis(coroutine.yield, Timer())
    local co = coroutine.wrap(function() return timed(1) end)
    assert.equal(1, co())
    spend()
    assert.equal(2, co(2))
    assert.is_true(timed.timer.most_recent >= 0.0005)
  end)

  it("counts each level of a recursion", function()
    local timed
    timed = sktime.timethis(function(n)
      if n > 1 then timed(n - 1) end
    end, Timer())
    timed(4)
    assert.equal(4, timed.timer.num_times)
  end)

  it("refuses wrong arguments", function()
    assert.equal("fn", refusal(sktime.timethis).argument)
    assert.equal("fn", refusal(sktime.timethis, {}).argument)
    assert.equal("timer",
                 refusal(sktime.timethis, print, "timer").argument)
  end)

  describe("without a timer", function()
    it("has one for each function", function()
      local function f() end
      local first, second = sktime.timethis(f), sktime.timethis(f)
      assert.equal(first.timer, second.timer)
      assert.not_equal(first.timer, sktime.timethis(spend).timer)
    end)

    it("begins anew after clear_global_timers", function()
      local function f() end
      local mine = Timer()
      local first, own = sktime.timethis(f), sktime.timethis(f, mine)
      first()
      own()
      sktime.clear_global_timers()
      assert.equal(0, first.timer.num_times)
      assert.equal(1, mine.num_times)
      assert.not_equal(first.timer, sktime.timethis(f).timer)
    end)

    it("keeps no function that is gone", function()
      local gone = setmetatable({}, { __mode = "k" })
      do
        local upvalue = 0
        local f = function() upvalue = upvalue + 1 end
        gone[f] = true
        sktime.timethis(f)()
      end
      collectgarbage()
      collectgarbage()
      assert.is_nil(next(gone))
    end)
  end)
end)
