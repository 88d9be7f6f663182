-- What circuit promises. Sleeps, the clock and the random numbers are the
-- test's own, so nothing here waits for time to go by.

local cerial = require "suitkaise.cerial"
local circuit = require "suitkaise.circuit"
local core = require "suitkaise.core"
local errors = require "suitkaise.errors"
local helper = require "spec.helper"
local sk = require "suitkaise"

local pack = table.pack or function(...)
  return { n = select("#", ...), ... }
end

local function refusal(fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  assert.is_true(errors.is(err, "ArgumentError"), tostring(err))
  return err
end

local function fail() error("no", 0) end
local function good() return "good" end

describe("Circuit", function()
  local moment, slept, draw, Circuit

  before_each(function()
    moment, slept, draw = 1000, {}, 0.5
    Circuit = circuit.with {
      sleep = function(s)
        slept[#slept + 1] = s
        moment = moment + s
      end,
      now = function() return moment end,
      random = function() return draw end,
    }
  end)

  after_each(helper.nothing_left)

  -- What a call of `fn` raises.
  local function raised(breaker, fn, ...)
    local ok, err = pcall(breaker.call, breaker, fn, ...)
    assert.is_false(ok)
    return err
  end

  local function is_refused(breaker, fn)
    return errors.is(raised(breaker, fn or good), "CircuitBrokenError")
  end

  describe("short", function()
    it("counts, and trips after so many", function()
      local breaker = Circuit{ num_shorts_to_trip = 3 }
      assert.is_false(breaker:short())
      assert.is_false(breaker:short())
      assert.equal(2, breaker.times_shorted)
      assert.is_false(breaker.broken)
      assert.is_true(breaker:short())
      assert.is_true(breaker.broken)
      assert.equal(0, breaker.times_shorted)
      assert.equal(1, breaker.total_trips)
      assert.equal(3, breaker.total_failures)
      assert.same({ 1 }, slept)
    end)

    it("trips after 5 and sleeps a second if nothing is said", function()
      local breaker = Circuit()
      for _ = 1, 4 do assert.is_false(breaker:short()) end
      assert.is_true(breaker:short())
      assert.same({ 1 }, slept)
    end)

    it("counts on while broken", function()
      local breaker = Circuit{ num_shorts_to_trip = 2 }
      for _ = 1, 4 do breaker:short() end
      assert.equal(2, breaker.total_trips)
      assert.equal(4, breaker.total_failures)
      assert.is_true(breaker.broken)
    end)

    it("sleeps as long as it is told instead", function()
      local breaker = Circuit{ num_shorts_to_trip = 1, jitter = 1 }
      draw = 1
      breaker:short(0.25)
      breaker:short(0)
      assert.same({ 0.25 }, slept)
    end)
  end)

  describe("trip", function()
    it("breaks at once", function()
      local breaker = Circuit{ sleep_time_after_trip = 2 }
      breaker:short()
      assert.is_true(breaker:trip())
      assert.is_true(breaker.broken)
      assert.equal(0, breaker.times_shorted)
      assert.equal(1, breaker.total_trips)
      assert.equal(2, breaker.total_failures)
      breaker:trip(7)
      assert.same({ 2, 7 }, slept)
    end)
  end)

  describe("backoff", function()
    it("multiplies the sleep by each trip up to the maximum", function()
      local breaker = Circuit{ sleep_time_after_trip = 1, backoff_factor = 3,
                               max_sleep_time = 10 }
      assert.equal(1, breaker.current_sleep_time)
      for _ = 1, 5 do breaker:trip() end
      assert.same({ 1, 3, 9, 10, 10 }, slept)
      assert.equal(10, breaker.current_sleep_time)
    end)

    it("begins anew by reset_backoff and not by reset", function()
      local breaker = Circuit{ backoff_factor = 2 }
      breaker:trip()
      breaker:reset()
      assert.equal(2, breaker.current_sleep_time)
      breaker:reset_backoff()
      assert.equal(1, breaker.current_sleep_time)
      breaker:trip()
      assert.same({ 1, 1 }, slept)
    end)

    it("never sleeps longer than the maximum, the first time neither",
       function()
      local breaker = Circuit{ sleep_time_after_trip = 50 }
      breaker:trip()
      assert.same({ 30 }, slept)
    end)

    it("goes on by a trip that slept otherwise", function()
      local breaker = Circuit{ backoff_factor = 2 }
      breaker:trip(9)
      breaker:trip()
      assert.same({ 9, 2 }, slept)
    end)
  end)

  describe("jitter", function()
    it("is a part of the sleep, more or less", function()
      local breaker = Circuit{ sleep_time_after_trip = 10, jitter = 0.2 }
      for _, d in ipairs { 0, 0.5, 1, 0.75 } do
        draw = d
        breaker:trip()
      end
      assert.same({ 8, 10, 12, 11 }, slept)
    end)

    it("does not spoil the backoff", function()
      local breaker = Circuit{ backoff_factor = 2, jitter = 1 }
      draw = 1
      breaker:trip()
      assert.same({ 2 }, slept)
      assert.equal(2, breaker.current_sleep_time)
    end)

    it("differs between the children of a process", function()
      local random = require "suitkaise.circuit.random"
      local own = random()
      local seen = { [own] = true }
      for _ = 1, 4 do
        local told = sk.Counter()
        helper.in_child(function()
          told:set(math.floor(random() * 2 ^ 31))
        end)
        assert.is_nil(seen[told.value])
        seen[told.value] = true
      end
    end)

    it("is spread evenly by the random numbers that are used", function()
      local random = require "suitkaise.circuit.random"
      local sum, low, high = 0, 1, 0
      for _ = 1, 10000 do
        local r = random()
        sum, low, high = sum + r, math.min(low, r), math.max(high, r)
      end
      assert.is_true(low > 0 and low < 0.01 and high < 1 and high > 0.99)
      assert.is_true(math.abs(sum / 10000 - 0.5) < 0.03)
    end)
  end)

  describe("auto_reset", function()
    it("closes it after the sleep", function()
      local seen
      local breaker
      breaker = Circuit{ num_shorts_to_trip = 1, auto_reset = true,
                         on_trip = function() seen = breaker.broken end }
      assert.is_true(breaker:short())
      assert.is_true(seen)
      assert.is_false(breaker.broken)
      assert.equal(1, breaker.total_trips)
    end)

    it("keeps the backoff", function()
      local breaker = Circuit{ auto_reset = true, backoff_factor = 2 }
      breaker:trip()
      breaker:trip()
      assert.same({ 1, 2 }, slept)
    end)

    it("closes it in time when the sleeper never wakes", function()
      local breaker = Circuit{ auto_reset = true, num_shorts_to_trip = 2 }
      breaker:apply_trip(nil, moment, 0.5) -- and nobody sleeps
      assert.is_true(breaker.broken)
      assert.equal(1, breaker.retry_in)
      assert.is_true(is_refused(breaker))
      assert.is_false(breaker:short())
      moment = moment + 1
      assert.is_false(breaker.broken)
      assert.equal("good", breaker:call(good))
      assert.is_false(breaker:short())
      assert.equal(1, breaker.times_shorted)
    end)

    it("does not end the trip of somebody else", function()
      local breaker
      local Late = circuit.with {
        now = function() return moment end,
        sleep = function(s)
          moment = moment + s - 0.25
          breaker:apply_trip(5, moment, 0.5)
          moment = moment + 0.25
        end,
      }
      breaker = Late{ auto_reset = true }
      breaker:trip()
      assert.is_true(breaker.broken)
      moment = moment + 5
      assert.is_false(breaker.broken)
    end)
  end)

  describe("reset", function()
    it("closes it and counts from zero", function()
      local breaker = Circuit{ num_shorts_to_trip = 2 }
      breaker:trip()
      breaker:short()
      breaker:reset()
      assert.is_false(breaker.broken)
      assert.equal(0, breaker.times_shorted)
      assert.equal(1, breaker.total_trips)
      assert.is_false(breaker:short())
    end)
  end)

  describe("call", function()
    it("gives arguments and results through", function()
      local results = pack(Circuit():call(function(...)
        return select("#", ...), ...
      end, nil, 2, nil))
      assert.equal(4, results.n)
      assert.equal(3, results[1])
      assert.equal(2, results[3])
    end)

    it("counts errors and raises them as they are", function()
      local breaker, what = Circuit{ num_shorts_to_trip = 2 }, {}
      assert.equal(what, raised(breaker, error, what))
      assert.equal(1, breaker.times_shorted)
      assert.equal(what, raised(breaker, error, what))
      assert.is_true(breaker.broken)
      assert.same({ 1 }, slept)
      assert.is_nil(raised(Circuit(), error))
    end)

    it("is refused while broken, and says why", function()
      local breaker = Circuit{ num_shorts_to_trip = 1 }
      raised(breaker, fail)
      local called = false
      local ok, err = pcall(function()
        breaker:call(function() called = true end)
      end)
      assert.is_false(ok or called)
      assert.is_true(errors.is(err, "CircuitBrokenError"))
      assert.equal(breaker, err.circuit)
      assert.is_nil(err.retry_in)
      assert.equal(1, err.total_trips)
      assert.equal("Circuit:call: the circuit is broken; reset it to use it "
        .. "again", err.message)
      assert.matches("circuit_spec.lua:%d+$", err.where)
      assert.equal(1, breaker.total_failures)
      breaker:reset()
      assert.equal("good", breaker:call(good))
    end)

    it("counts failures that good calls come between", function()
      local breaker = Circuit{ num_shorts_to_trip = 2 }
      raised(breaker, fail)
      breaker:call(good)
      raised(breaker, fail)
      assert.is_true(breaker.broken)
    end)

    it("forgets failures at a good call when only consecutive ones count",
       function()
      local breaker = Circuit{ num_shorts_to_trip = 2, consecutive = true }
      for _ = 1, 5 do
        raised(breaker, fail)
        breaker:call(good)
      end
      assert.is_false(breaker.broken)
      assert.equal(5, breaker.total_failures)
      raised(breaker, fail)
      raised(breaker, fail)
      assert.is_true(breaker.broken)
    end)

    it("counts only what `only` says", function()
      local breaker = Circuit{ num_shorts_to_trip = 1, only = function(err)
        return err ~= "mine"
      end }
      assert.equal("mine", raised(breaker, error, "mine"))
      assert.equal(0, breaker.total_failures)
      assert.equal("no", raised(breaker, fail))
      assert.is_true(breaker.broken)
    end)

    it("takes what can be called, and nothing else", function()
      local callable = setmetatable({}, {
        __call = function(_, x) return x end,
      })
      assert.equal(5, Circuit():call(callable, 5))
      for _, bad in ipairs { 1, "f", {} } do
        local breaker = Circuit()
        assert.equal("fn", refusal(breaker.call, breaker, bad).argument)
        assert.equal(0, breaker.total_failures)
      end
    end)

    it("may be nested", function()
      local outer, inner = Circuit(), Circuit{ num_shorts_to_trip = 1 }
      raised(outer, function() inner:call(fail) end)
      assert.is_true(inner.broken)
      assert.equal(1, outer.times_shorted)
    end)

    if helper.lua ~= "lua5.1" then
      it("lets the function yield", function()
        local breaker = Circuit()
        local co = coroutine.wrap(function()
          return breaker:call(coroutine.yield, 1)
        end)
        assert.equal(1, co())
        assert.equal(2, co(2))
      end)
    end
  end)

  describe("recovery_time", function()
    local breaker

    before_each(function()
      breaker = Circuit{ num_shorts_to_trip = 1, sleep_time_after_trip = 0,
                         recovery_time = 10, backoff_factor = 2 }
      raised(breaker, fail)
    end)

    it("lets no call through before", function()
      moment = moment + 9.5
      assert.equal("open", breaker.state)
      assert.equal(0.5, breaker.retry_in)
      local err = raised(breaker, good)
      assert.equal(0.5, err.retry_in)
      assert.matches("the next call may pass in 0.5 s", err.message, 1, true)
    end)

    it("lets one call through, which closes it", function()
      moment = moment + 10
      assert.equal("half-open", breaker.state)
      assert.is_true(breaker.broken)
      assert.equal(0, breaker.retry_in)
      assert.equal("good", breaker:call(good))
      assert.is_false(breaker.broken)
      assert.equal("closed", breaker.state)
      assert.equal(1, breaker.total_failures)
    end)

    it("refuses the others while that one runs", function()
      moment = moment + 10
      breaker:call(function()
        assert.is_true(is_refused(breaker))
        assert.equal(10, breaker.retry_in)
      end)
      assert.equal("good", breaker:call(good))
    end)

    it("trips again when that one fails, and waits as long again", function()
      moment = moment + 10
      assert.equal("no", raised(breaker, fail))
      assert.is_true(breaker.broken)
      assert.equal(2, breaker.total_trips)
      assert.equal(2, breaker.total_failures)
      assert.equal(10, breaker.retry_in)
      assert.is_true(is_refused(breaker))
      moment = moment + 10
      assert.equal("good", breaker:call(good))
    end)

    it("sleeps by the backoff after each that fails, anew after a good one",
       function()
      breaker = Circuit{ num_shorts_to_trip = 1, recovery_time = 10,
                         backoff_factor = 2 }
      raised(breaker, fail)
      moment = moment + 10
      raised(breaker, fail)
      assert.same({ 1, 2 }, slept)
      moment = moment + 10
      breaker:call(good)
      assert.equal(1, breaker.current_sleep_time)
    end)

    it("lets the next one try when the first never comes back", function()
      moment = moment + 10
      local co = coroutine.wrap(function()
        breaker:apply_probe(moment) -- a process that dies in its call
      end)
      co()
      assert.is_true(is_refused(breaker))
      moment = moment + 10
      assert.equal("good", breaker:call(good))
    end)

    it("does not let one that comes late decide", function()
      moment = moment + 10
      local late = breaker:apply_probe(moment)
      moment = moment + 10
      local other = breaker:apply_probe(moment)
      assert.is_false(breaker:apply_outcome(late, true, moment, 0.5))
      assert.is_true(breaker.broken)
      assert.is_false(breaker:apply_outcome(late, false, moment, 0.5))
      assert.equal(1, breaker.total_trips)
      assert.is_true(breaker:apply_outcome(other, true, moment, 0.5))
      assert.is_false(breaker.broken)
    end)

    it("takes an error that does not count for a good sign", function()
      breaker = Circuit{ num_shorts_to_trip = 1, sleep_time_after_trip = 0,
                         recovery_time = 10,
                         only = function(err) return err == "no" end }
      raised(breaker, fail)
      moment = moment + 10
      assert.equal("other", raised(breaker, error, "other"))
      assert.is_false(breaker.broken)
    end)

    it("is no use with auto_reset", function()
      assert.equal("recovery_time", refusal(Circuit, {
        recovery_time = 1, auto_reset = true }).argument)
    end)
  end)

  describe("hooks", function()
    local events, breaker

    local function open(more)
      events = {}
      local opts = {
        num_shorts_to_trip = 1,
        on_trip = function(c, seconds)
          events[#events + 1] = ("trip %g %s slept %d"):format(
            seconds, c.state, #slept)
        end,
        on_reset = function(c)
          events[#events + 1] = "reset " .. c.state
        end,
      }
      for k, v in pairs(more or {}) do opts[k] = v end
      breaker = Circuit(opts)
    end

    it("are told of a trip before the sleep, and of a reset", function()
      open()
      breaker:short()
      breaker:reset()
      assert.same({ "trip 1 open slept 0", "reset closed" }, events)
    end)

    it("are not told of a reset of what was closed", function()
      open()
      breaker:reset()
      assert.same({}, events)
    end)

    it("are told of the reset after the sleep", function()
      open { auto_reset = true }
      breaker:trip(3)
      assert.same({ "trip 3 open slept 0", "reset closed" }, events)
    end)

    it("are told of what a call that was let through decides", function()
      open { recovery_time = 10, sleep_time_after_trip = 0 }
      raised(breaker, fail)
      moment = moment + 10
      raised(breaker, fail)
      moment = moment + 10
      breaker:call(good)
      assert.same({ "trip 0 open slept 0", "trip 0 open slept 0",
                    "reset closed" }, events)
    end)

    it("may raise, and leave a circuit that is broken as it should", function()
      open { on_trip = function() error("hook", 0) end }
      local ok, err = pcall(breaker.short, breaker)
      assert.is_false(ok)
      assert.equal("hook", err)
      assert.is_true(breaker.broken)
    end)
  end)

  describe("options", function()
    local WRONG = {
      num_shorts_to_trip = { 0, -1, 1.5, "3", 0 / 0, math.huge },
      sleep_time_after_trip = { -1, 0 / 0, math.huge, "1" },
      backoff_factor = { 0.5, -1, 0 / 0, math.huge, "2" },
      max_sleep_time = { -1, 0 / 0, math.huge },
      jitter = { -0.1, 1.1, 0 / 0, "0" },
      auto_reset = { 1, "yes" },
      recovery_time = { 0, -1, 0 / 0, math.huge, "1" },
      consecutive = { 1 }, only = { 1 }, on_trip = { 1 }, on_reset = { {} },
    }

    for name, values in pairs(WRONG) do
      it("refuse a wrong " .. name, function()
        for _, bad in ipairs(values) do
          local err = refusal(function() Circuit{ [name] = bad } end)
          assert.equal(name, err.argument)
          assert.matches("circuit_spec.lua:%d+$", err.where)
        end
      end)
    end

    it("name the nearest one when one is misspelt", function()
      assert.matches('did you mean "jitter"',
                     refusal(Circuit, { jiter = 1 }).message, 1, true)
      assert.equal("options", refusal(Circuit, 5).argument)
    end)

    it("of a sleep are checked", function()
      local breaker = Circuit()
      for _, bad in ipairs { -1, 0 / 0, math.huge, "1" } do
        assert.equal("custom_sleep",
                     refusal(breaker.short, breaker, bad).argument)
        assert.equal("custom_sleep",
                     refusal(breaker.trip, breaker, bad).argument)
      end
      assert.equal(0, breaker.total_failures)
    end)
  end)

  it("says so when a method is called with a dot", function()
    for _, name in ipairs { "short", "trip", "reset", "call", "asynced",
                            "reset_backoff" } do
      assert.equal("self", refusal(Circuit[name], 5).argument)
      assert.equal("self", refusal(Circuit[name]).argument)
    end
  end)

  it("refuses that what it computes, or a method, is assigned", function()
    local breaker = Circuit()
    for _, name in ipairs { "broken", "state", "retry_in", "call" } do
      local err = refusal(function() breaker[name] = true end)
      assert.equal(name, err.argument)
      assert.matches("circuit_spec.lua:%d+$", err.where)
    end
    assert.is_false(breaker.broken)
    breaker.service = "mail" -- other fields are its user's
    assert.equal("mail", breaker.service)
  end)

  it("refuses that what it counts, or an option, is assigned", function()
    local breaker = Circuit{ num_shorts_to_trip = 3, consecutive = true }
    breaker:short()
    for name, value in pairs {
      num_shorts_to_trip = "x", jitter = 0.5, on_trip = print,
      times_shorted = 2, total_trips = 0, total_failures = 0,
      current_sleep_time = 9,
    } do
      local before = breaker[name]
      local err = refusal(function() breaker[name] = value end)
      assert.equal(name, err.argument)
      assert.equal(before, breaker[name])
    end
    assert.equal(3, breaker.num_shorts_to_trip)
    assert.is_true(breaker.consecutive)
    assert.equal(1, breaker.times_shorted)
    assert.equal('Circuit: "jitter" is set when it is made and cannot be '
      .. "assigned", refusal(function() breaker.jitter = 1 end).message)
    assert.equal("jitter", refusal(function()
      breaker:asynced().jitter = 1
    end).argument)
  end)

  it("is an object of its class and a line of text", function()
    local breaker = circuit.Circuit()
    assert.is_true(sk.is(breaker, "Circuit"))
    breaker:short()
    assert.equal("Circuit: closed, 1 of 5 shorts, 0 trips", tostring(breaker))
  end)

  it("sleeps by itself when no other sleep is given", function()
    local breaker = sk.Circuit{ num_shorts_to_trip = 1,
                                sleep_time_after_trip = 0.01 }
    local began = core.now()
    breaker:short()
    assert.is_true(core.now() - began >= 0.01)
  end)

  it("recovers by the real clock", function()
    local breaker = sk.Circuit{ num_shorts_to_trip = 1, recovery_time = 0.02,
                                sleep_time_after_trip = 0 }
    raised(breaker, fail)
    helper.wait_until(function() return pcall(breaker.call, breaker, good) end)
    assert.equal("closed", breaker.state)
  end)

  it("refuses to be made of unknown parts", function()
    assert.matches('did you mean "sleep"',
                   refusal(circuit.with, { slep = print }).message, 1, true)
    assert.equal("now", refusal(circuit.with, { now = 1 }).argument)
  end)

  it("is loaded without the rest", function()
    assert.equal("nil\tnil\tnil\tnil\n", helper.run [[
      require "suitkaise.circuit"
      print(package.loaded["suitkaise.shared"], package.loaded["suitkaise"],
            package.loaded["suitkaise.cerial"],
            package.loaded["suitkaise.sktime.timer"])]])
  end)

  it("is a field of suitkaise", function()
    assert.equal(circuit, sk.circuit)
    assert.equal(circuit.Circuit, sk.Circuit)
  end)

  describe("by cerial", function()
    it("keeps its state", function()
      local breaker = sk.Circuit{ num_shorts_to_trip = 2,
                                  sleep_time_after_trip = 0,
                                  recovery_time = 1000 }
      breaker:short()
      breaker:short()
      breaker:short()
      local copy = cerial.deserialize(cerial.serialize(breaker))
      assert.is_true(copy.broken)
      assert.equal(1, copy.times_shorted)
      assert.equal(1, copy.total_trips)
      assert.equal(3, copy.total_failures)
      assert.is_true(is_refused(copy))
      copy:reset()
      assert.is_true(breaker.broken)
    end)

    it("takes hooks along in trusted bytes", function()
      local breaker = sk.Circuit{ only = function(e) return e == 1 end }
      local copy = cerial.deserialize(cerial.serialize(breaker),
                                      { trusted = true })
      raised(copy, error, 2)
      assert.equal(0, copy.total_failures)
    end)
  end)
end)
