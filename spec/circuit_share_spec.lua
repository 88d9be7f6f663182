-- A Circuit that many processes share: what changes its state is apart from
-- what sleeps and calls.

local circuit = require "suitkaise.circuit"
local errors = require "suitkaise.errors"
local helper = require "spec.helper"
local sk = require "suitkaise"

local function fail() error("no", 0) end
local function good() return "good" end

describe("Circuit of many processes", function()
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

  -- What a Share does: the state is elsewhere, a caller has a proxy and a
  -- clock and a sleep of its own.
  describe("by a proxy", function()
    local log

    local function proxy_of(breaker)
      return setmetatable({}, { __index = function(_, key)
        local here = Circuit._shared_local[key]
        if here then return here end
        if not Circuit._shared_meta.methods[key] then return breaker[key] end
        return function(_, ...)
          log[#log + 1] = key
          return Circuit[key](breaker, ...)
        end
      end })
    end

    before_each(function() log = {} end)

    it("changes the state there and sleeps here", function()
      local breaker = Circuit{ num_shorts_to_trip = 2 }
      local a, b = proxy_of(breaker), proxy_of(breaker)
      a:short()
      b:short()
      assert.same({ "apply_short", "apply_short" }, log)
      assert.same({ 1 }, slept)
      assert.is_true(a.broken and b.broken and breaker.broken)
      assert.is_true(is_refused(a))
      a:reset()
      assert.is_false(b.broken)
    end)

    it("asks nothing of the other side for a good call", function()
      local proxy = proxy_of(Circuit())
      assert.equal("good", proxy:call(good))
      assert.same({}, log)
    end)

    it("lets one caller of all through", function()
      local breaker = Circuit{ num_shorts_to_trip = 1, recovery_time = 10,
                               sleep_time_after_trip = 0 }
      local a, b = proxy_of(breaker), proxy_of(breaker)
      raised(a, fail)
      moment = moment + 10
      a:call(function() assert.is_true(is_refused(b)) end)
      assert.equal("good", b:call(good))
    end)

    it("declares every method and every computed field", function()
      local meta = Circuit._shared_meta
      for name, method in pairs(Circuit) do
        if type(method) == "function" and not name:find "^_" then
          local here = Circuit._shared_local[name]
          assert.is_true(here == method or meta.methods[name] ~= nil, name)
        end
      end
      for _, name in ipairs { "broken", "retry_in", "state" } do
        assert.equal("table", type(meta.properties[name].reads), name)
      end
    end)

    it("writes and reads there what is declared and nothing else", function()
      for name, method in pairs(Circuit._shared_meta.methods) do
        local reads, writes = {}, {}
        for _, field in ipairs(method.reads) do reads[field] = true end
        for _, field in ipairs(method.writes) do writes[field] = true end
        local breaker = Circuit{ num_shorts_to_trip = 1, recovery_time = 1 }
        breaker:trip(0)
        local watched = setmetatable({}, {
          __index = function(_, key)
            assert.is_true(reads[key], name .. " reads " .. key)
            return breaker[key]
          end,
          __newindex = function(_, key, value)
            assert.is_true(writes[key], name .. " writes " .. key)
            breaker[key] = value
          end,
        })
        local first = name == "apply_short" and 0 or moment + 5
        Circuit[name](watched, first, moment + 5, 0.5)
      end
    end)

    it("sleeps and calls nobody there", function()
      local Never = circuit.with {
        sleep = function() error "slept" end,
        now = function() error "asked the time" end,
        random = function() error "drew a number" end,
      }
      local function hook() error "called a hook" end
      local breaker = Never{ num_shorts_to_trip = 1, on_trip = hook,
                             on_reset = hook, only = hook, jitter = 0.5,
                             recovery_time = 1 }
      assert.equal(1, breaker:apply_short(nil, 1, 0.5))
      assert.equal(3, breaker:apply_probe(2))
      assert.is_true(breaker:apply_outcome(3, true, 2, 0.5))
      assert.equal(1, breaker:apply_trip(nil, 1, 0.5))
      assert.is_true(breaker:apply_reset(1))
      assert.is_false(breaker:apply_wake(9))
      breaker:apply_success()
      breaker:reset_backoff()
    end)
  end)

  describe("in a Share", function()
    -- Each in a process of its own, with which all of its share goes.
    local function promise(what, opts, fn)
      it(what, function()
        helper.in_child(function()
          local share = sk.Share()
          share.breaker = sk.Circuit(opts)
          fn(share, share.breaker)
          share:stop()
        end)
      end)
    end

    promise("is one breaker for all processes", {
      num_shorts_to_trip = 3, sleep_time_after_trip = 0,
    }, function(share, breaker)
      for _ = 1, 3 do
        assert.is_false(breaker.broken)
        helper.in_child(function() share.breaker:short() end)
      end
      assert.is_true(breaker.broken)
      assert.equal(1, breaker.total_trips)
      assert.equal(3, breaker.total_failures)
      local err = raised(breaker, good)
      assert.is_true(errors.is(err, "CircuitBrokenError"))
      assert.equal(1, err.total_trips)
      helper.in_child(function() share.breaker:reset() end)
      assert.equal("good", breaker:call(good))
    end)

    promise("refuses that what it computes, or an option, is assigned", {},
            function(_, breaker)
      for _, name in ipairs { "broken", "total_trips", "num_shorts_to_trip" } do
        local before = breaker[name]
        local ok, err = pcall(function() breaker[name] = true end)
        assert.is_false(ok)
        assert.is_true(errors.is(err, "ArgumentError"))
        assert.matches("circuit_share_spec.lua:%d+$", err.where)
        assert.is_true(before ~= nil and before == breaker[name])
      end
    end)

    promise("begins its backoff anew for all", {
      num_shorts_to_trip = 1, sleep_time_after_trip = 0.001,
      backoff_factor = 2,
    }, function(share, breaker)
      breaker:short()
      assert.equal(0.002, breaker.current_sleep_time)
      helper.in_child(function() share.breaker:reset_backoff() end)
      assert.equal(0.001, breaker.current_sleep_time)
    end)

    promise("is seen broken while the one who tripped it sleeps", {
      num_shorts_to_trip = 1, sleep_time_after_trip = 1000,
      max_sleep_time = 1000,
    }, function(share, breaker)
      local child = helper.fork(function() share.breaker:short() end)
      helper.wait_until(function() return breaker.broken end)
      child:until_asleep()
      breaker:reset() -- the coordinator is not asleep
      assert.is_false(breaker.broken)
      child:kill()
      child:finish()
    end)

    promise("is closed in time when the one who tripped it was killed", {
      num_shorts_to_trip = 1, auto_reset = true, sleep_time_after_trip = 0.5,
    }, function(share, breaker)
      local child = helper.fork(function() share.breaker:short() end)
      helper.wait_until(function() return breaker.total_trips == 1 end)
      child:kill()
      child:finish()
      helper.wait_until(function() return not breaker.broken end)
      assert.equal("good", breaker:call(good))
    end)

    promise("lets another one try when the one who tried was killed", {
      num_shorts_to_trip = 1, recovery_time = 0.2, sleep_time_after_trip = 0,
    }, function(share, breaker)
      breaker:trip()
      local trying = sk.Flag()
      local child = helper.fork(function()
        helper.wait_until(function()
          return pcall(share.breaker.call, share.breaker, function()
            trying:set()
            sk.sktime.sleep(1000)
          end)
        end)
      end)
      trying:wait(20)
      child:kill()
      child:finish()
      assert.is_true(breaker.broken)
      helper.wait_until(function()
        return pcall(breaker.call, breaker, good)
      end)
      assert.is_false(breaker.broken)
    end)
  end)
end)
