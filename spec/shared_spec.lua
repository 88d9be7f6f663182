-- Counter, Flag and Progress, once for each way they are implemented.
local classes = require "suitkaise.shared.classes"
local core = require "suitkaise.core"
local errors = require "suitkaise.errors"
local ffi_path = require "suitkaise.shared.ffi"
local helper = require "spec.helper"
local is = require "suitkaise.is"

local TWO_53 = 2 ^ 53
local HAS_INTEGERS = math.type ~= nil
local has_ffi, ffi = pcall(require, "ffi")
has_ffi = has_ffi and rawget(_G, "jit") ~= nil

local ways = { C = classes.make() }
if has_ffi then ways.FFI = classes.make(assert(ffi_path.load(true))) end

-- The message of the ArgumentError that fn raises, at this line or the next.
local function refusal(fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  assert.is_true(errors.is(err, "ArgumentError"), tostring(err))
  return err.message, err.where
end

-- Leaves room for the time between two clocks being read.
local function elapsed(fn)
  local start = core.now()
  fn()
  return core.now() - start
end

local function handle(object)
  return getmetatable(object).__serialize(object)
end

local function revive(class, text)
  return class.__deserialize(text)
end

for way, set in pairs(ways) do
  local Counter, Flag, Progress = set.Counter, set.Flag, set.Progress

  describe("a counter (" .. way .. ")", function()
    after_each(helper.nothing_left)

    it("begins at 0 or where it is told", function()
      assert.equal(0, Counter().value)
      assert.equal(-7, Counter(-7).value)
    end)

    it("adds and subtracts and tells the new value", function()
      local c = Counter(10)
      assert.equal(11, c:increment())
      assert.equal(16, c:increment(5))
      assert.equal(15, c:decrement())
      assert.equal(12, c:decrement(3))
      assert.equal(10, c:increment(-2))
      assert.equal(13, c:decrement(-3))
      assert.equal(13, c.value)
    end)

    it("takes another value", function()
      local c = Counter(1)
      c:set(-40)
      assert.equal(-40, c.value)
    end)

    it("is its number as text", function()
      assert.equal("42", tostring(Counter(42)))
      assert.equal("-1", tostring(Counter(-1)))
    end)

    it("takes whole floats", function()
      local c = Counter(2.0)
      assert.equal(5, c:increment(3.0))
    end)

    it("gives integers where Lua has them", function()
      if HAS_INTEGERS then
        assert.equal("integer", math.type(Counter(2.0):increment(1.0)))
        assert.equal("integer", math.type(Counter(2.0).value))
      else
        assert.equal("number", type(Counter(2).value))
      end
    end)

    it("is exact to 2^53 in both directions", function()
      local c = Counter(TWO_53 - 1)
      assert.equal(TWO_53, c:increment())
      assert.equal(TWO_53, c.value)
      assert.equal("number", type(c.value))
      c:set(-TWO_53 + 1)
      assert.equal(-TWO_53, c:decrement())
      assert.equal(-TWO_53, c.value)
      assert.equal("number", type(c.value))
    end)

    it("loses nothing beyond 2^53", function()
      local c = Counter(TWO_53)
      c:increment()
      c:increment()
      c:increment()
      assert.equal("9007199254740995", tostring(c))
      c:decrement(TWO_53)
      assert.equal(3, c.value)
    end)

    if HAS_INTEGERS then
      it("is exact to 2^63", function()
        local c = Counter(math.maxinteger - 1)
        assert.equal(math.maxinteger, c:increment())
        c:set(math.mininteger)
        assert.equal(math.mininteger, c.value)
      end)
    elseif has_ffi then
      it("is exact to 2^63 with int64", function()
        local large = ffi.cast("int64_t", 1) * 2 ^ 62
        local c = Counter(large)
        assert.is_true(c:increment() == large + 1)
        assert.is_true(c.value == large + 1)
        assert.is_true(c:decrement(large) == 1)
        assert.equal("number", type(c.value))
        c:set(-large - 5)
        assert.is_true(c.value == -large - 5)
        assert.equal(-5, c:increment(ffi.cast("uint64_t", large)))
      end)

      it("refuses what 63 bits do not hold", function()
        local c = Counter()
        refusal(c.increment, c, ffi.cast("uint64_t", -1))
        refusal(c.increment, c, ffi.new("int[1]"))
      end)
    else
      it("reads as the nearest number beyond 2^53", function()
        local c = Counter(TWO_53)
        c:increment(4)
        assert.equal(TWO_53 + 4, c.value)
      end)
    end

    it("wraps around at 2^63", function()
      local c = Counter(-2 ^ 63)
      assert.equal("9223372036854775807", tostring(c)
        and (c:decrement() and tostring(c)))
      c:set(0)
      c:decrement(-2 ^ 63)
      assert.equal("-9223372036854775808", tostring(c))
    end)

    it("refuses what is no whole number, and is unchanged", function()
      local c = Counter(5)
      for shown, bad in pairs { ["1.5"] = 1.5, ['"3"'] = "3", table = {},
                                ["true"] = true } do
        assert.equal("Counter:increment: n must be a whole number, got "
          .. shown, (refusal(c.increment, c, bad)))
        assert.equal("Counter:decrement: n must be a whole number, got "
          .. shown, (refusal(c.decrement, c, bad)))
        assert.equal("Counter:set: n must be a whole number, got "
          .. shown, (refusal(c.set, c, bad)))
        assert.equal("Counter: initial must be a whole number, got "
          .. shown, (refusal(Counter, bad)))
      end
      for _, bad in ipairs { 0 / 0, 1 / 0, -1 / 0, 1e300, 2 ^ 63 } do
        refusal(c.increment, c, bad)
        refusal(c.decrement, c, bad)
        refusal(c.set, c, bad)
        refusal(Counter, bad)
      end
      assert.equal("Counter:increment: n must be a whole number of 64 bits, "
        .. "got 1e+300", (refusal(c.increment, c, 1e300)))
      assert.equal("Counter:set: n must be a whole number, got nil",
                   (refusal(c.set, c)))
      assert.equal(5, c.value)
    end)

    it("says so at the line of the caller", function()
      local c = Counter()
      local line = debug.getinfo(1, "l").currentline
      local calls = {
        function() c:increment(0.5) end,
        function() c:decrement(0.5) end,
        function() c:set(0.5) end,
        function() return c.vlaue .. "" end,
        function() c.value = 3 end,
        function() local new = Counter(0.5) return new end,
      }
      for i, call in ipairs(calls) do
        local _, where = refusal(call)
        assert.equal("spec/shared_spec.lua:" .. line + 1 + i, where)
      end
    end)

    it("names the nearest field for an unknown one", function()
      local c = Counter()
      assert.equal('Counter has no field "vlaue"; did you mean "value"?',
                   (refusal(function() return c.vlaue end)))
      assert.equal(
        'Counter has no field "incremnt"; did you mean "increment"?',
        (refusal(function() c:incremnt() end)))
      refusal(function() c.colour = 1 end)
      refusal(function() return c[1] end)
    end)

    it("cannot be assigned to, and says what can be done", function()
      local c = Counter(1)
      assert.equal("Counter: value cannot be assigned; use :set",
                   (refusal(function() c.value = 3 end)))
      refusal(function() c.increment = 3 end)
      assert.equal(1, c.value)
    end)

    it("refuses a self that is no counter", function()
      local c = Counter()
      for _, other in ipairs { 1, {}, io.stdout, Flag(), Counter } do
        for _, method in ipairs { "increment", "decrement", "set" } do
          assert.matches("^Counter:" .. method .. ": self must be a Counter",
                         (refusal(c[method], other, 1)))
        end
        assert.is_false((pcall(getmetatable(c).__index, other, "value")))
        assert.is_false((pcall(getmetatable(c).__serialize, other)))
        assert.is_false((pcall(getmetatable(c).__tostring, other)))
      end
      assert.matches("got nil$", (refusal(c.increment)))
    end)

    it("is a Counter", function()
      assert.is_true(is(Counter(), "Counter"))
      assert.is_true(is(Counter(), Counter))
      assert.is_false(is(Counter(), "Flag"))
      assert.is_false(is(Counter, Counter))
      assert.equal("class Counter", tostring(Counter))
    end)

    it("has no metamethods of its own for those who look", function()
      assert.is_nil(Counter().__pairs)
    end)

    it("is the same in a forked child", function()
      local c = Counter(1)
      helper.in_child(function()
        assert(c.value == 1)
        c:increment(41)
      end)
      assert.equal(42, c.value)
    end)

    it("loses no update of many processes", function()
      local c, n, running = Counter(), 20000, {}
      for i = 1, 4 do
        running[i] = helper.fork(function()
          for _ = 1, n do c:increment() end
          for _ = 1, n do c:increment(2) end
          for _ = 1, n do c:decrement() end
        end)
      end
      for _, child in ipairs(running) do assert.equal(0, child:finish()) end
      assert.equal(4 * n * 2, c.value)
    end)

    it("is read anew in every turn of a compiled loop", function()
      local ready, c = Flag(), Counter()
      local child = helper.fork(function()
        assert(ready:wait(20))
        c:increment()
      end)
      local deadline = core.now() + 20
      while c.value == 0 and core.now() < deadline do
        for _ = 1, 1e5 do
          if c.value ~= 0 then break end
        end
        ready:set()
      end
      assert.equal(1, c.value)
      child:finish()
    end)

    it("can be collected", function()
      local held = setmetatable({ Counter() }, { __mode = "v" })
      collectgarbage()
      collectgarbage()
      assert.is_nil(held[1])
    end)
  end)

  describe("a flag (" .. way .. ")", function()
    after_each(helper.nothing_left)

    it("begins lowered or as it is told", function()
      assert.is_false(Flag().value)
      assert.is_false(Flag(false).value)
      assert.is_true(Flag(true).value)
    end)

    it("is set, cleared and turned over", function()
      local f = Flag()
      f:set()
      assert.is_true(f.value)
      f:set()
      assert.is_true(f.value)
      f:clear()
      assert.is_false(f.value)
      assert.is_true(f:toggle())
      assert.is_false(f:toggle())
      assert.is_false(f.value)
    end)

    it("is true or false as text", function()
      assert.equal("true", tostring(Flag(true)))
      assert.equal("false", tostring(Flag()))
    end)

    it("refuses to begin as anything else", function()
      assert.equal("Flag: initial must be true or false, got 1",
                   (refusal(Flag, 1)))
    end)

    it("refuses to be set to something", function()
      local f = Flag()
      assert.matches("must be left out", (refusal(f.set, f, false)))
      assert.is_false(f.value)
    end)

    it("names the nearest field for an unknown one", function()
      local f = Flag()
      assert.equal('Flag has no field "togle"; did you mean "toggle"?',
                   (refusal(function() f:togle() end)))
      refusal(function() f.value = true end)
    end)

    it("refuses a self that is no flag", function()
      local f = Flag()
      for _, method in ipairs { "set", "clear", "toggle", "wait" } do
        local message, where = refusal(function()
          f[method](io.stdout) end)
        assert.matches("^Flag:" .. method .. ": self must be a Flag", message)
        assert.matches("^spec/shared_spec.lua:", where)
      end
    end)

    it("does not wait when it is set", function()
      assert.is_true(Flag(true):wait())
      assert.is_true(Flag(true):wait(0))
      assert.is_true(Flag(true):wait(math.huge))
    end)

    it("looks once when the timeout is 0", function()
      assert.is_true(elapsed(function()
        assert.is_false(Flag():wait(0))
      end) < 0.4)
    end)

    it("waits as long as the timeout says, and sleeps meanwhile", function()
      local cpu = os.clock()
      assert.is_true(elapsed(function()
        assert.is_false(Flag():wait(0.25))
      end) >= 0.25)
      assert.is_true(os.clock() - cpu < 0.1)
    end)

    it("refuses a timeout that is none", function()
      local f = Flag()
      for shown, bad in pairs { ['"1"'] = "1", ["-1"] = -1 } do
        assert.equal("Flag:wait: timeout must be a number of seconds of at "
          .. "least 0, got " .. shown, (refusal(f.wait, f, bad)))
      end
      refusal(f.wait, f, 0 / 0)
    end)

    it("wakes who waits in another process, each time", function()
      local ping, pong, rounds = Flag(), Flag(), 100
      local child = helper.fork(function()
        for _ = 1, rounds do
          assert(ping:wait(20))
          ping:clear()
          pong:set()
        end
      end)
      -- a lost wake-up would cost half a second
      assert.is_true(elapsed(function()
        for _ = 1, rounds do
          ping:toggle()
          assert.is_true(pong:wait(20))
          pong:clear()
        end
      end) < rounds * 0.1)
      assert.equal(0, child:finish())
    end)

    it("wakes all who wait", function()
      local f, ready, waiting = Flag(), Counter(), {}
      for i = 1, 3 do
        waiting[i] = helper.fork(function()
          ready:increment()
          assert(f:wait(20))
        end)
      end
      helper.wait_until(function() return ready.value == 3 end)
      f:toggle()
      for _, child in ipairs(waiting) do assert.equal(0, child:finish()) end
    end)

    it("is seen by who waits even if nobody woke him", function()
      local f = Flag()
      local same_word = revive(Counter, handle(f))
      local child = helper.fork(function() assert(f:wait(20)) end)
      child:until_asleep()
      same_word:set(1)
      assert.equal(0, child:finish(10))
    end)
  end)

  describe("a progress (" .. way .. ")", function()
    after_each(helper.nothing_left)

    it("begins with nothing done", function()
      local p = Progress(8)
      assert.equal(0, p.completed)
      assert.equal(8, p.total)
      assert.equal(0, p.percent)
      assert.equal(0, p.rate)
      assert.is_false(p.is_complete)
      assert.is_nil(p.eta)
    end)

    it("counts steps", function()
      local p = Progress(8)
      assert.equal(1, p:increment())
      assert.equal(6, p:increment(5))
      assert.equal(6, p:increment(0))
      assert.equal(6, p.completed)
      assert.equal(75, p.percent)
      assert.is_false(p.is_complete)
      assert.equal("6/8", tostring(p))
    end)

    it("is complete with the last step", function()
      local p = Progress(2)
      p:increment()
      p:increment()
      assert.is_true(p.is_complete)
      assert.equal(100, p.percent)
      assert.equal(0, p.eta)
    end)

    it("counts steps beyond its total but shows no more", function()
      local p = Progress(2)
      assert.equal(5, p:increment(5))
      assert.equal(6, p:increment())
      assert.equal(6, p.completed)
      assert.equal(100, p.percent)
      assert.equal(0, p.eta)
      assert.is_true(p.is_complete)
    end)

    it("with nothing to do is complete", function()
      local p = Progress(0)
      assert.is_true(p.is_complete)
      assert.equal(100, p.percent)
      assert.equal(0, p.eta)
      assert.is_true(p:wait())
      assert.equal(1, p:increment())
    end)

    it("takes no steps back", function()
      local p = Progress(2)
      for shown, bad in pairs { ["-1"] = -1, ["0.5"] = 0.5, ['"1"'] = "1" } do
        assert.equal("Progress:increment: n must be a whole number of at least"
          .. " 0, got " .. shown, (refusal(p.increment, p, bad)))
      end
      assert.equal(0, p.completed)
    end)

    it("needs a total", function()
      for _, bad in ipairs { "1", -1, 0.5, 1 / 0, false } do
        assert.matches("^Progress: total must be a whole number of at least 0",
                       (refusal(Progress, bad)))
      end
      refusal(Progress)
    end)

    it("tells the rate since it was made, and what is left", function()
      local start = core.now()
      local p = Progress(100)
      Flag():wait(0.1)
      p:increment(10)
      local rate, eta = p.rate, p.eta
      local longest = core.now() - start
      assert.is_true(rate >= 10 / longest and rate <= 10 / 0.1)
      assert.is_true(eta >= 0.9 and eta <= 9 * longest)
    end)

    it("keeps its rate once it is complete", function()
      local p = Progress(2)
      p:increment(2)
      local rate = p.rate
      Flag():wait(0.02)
      assert.equal(rate, p.rate)
      p:increment(2)
      assert.is_true(math.abs(p.rate - 2 * rate) < rate / 1000)
    end)

    it("refuses a self that is no progress", function()
      local p = Progress(1)
      for _, method in ipairs { "increment", "wait", "bar" } do
        local message, where = refusal(function()
          p[method](Counter(1)) end)
        assert.matches("^Progress:" .. method .. ": self must be a Progress",
                       message)
        assert.matches("^spec/shared_spec.lua:", where)
      end
    end)

    it("names the nearest field for an unknown one", function()
      local p = Progress(1)
      assert.equal('Progress has no field "complete"; did you mean '
        .. '"completed"?', (refusal(function() return p.complete end)))
      refusal(function() p.total = 3 end)
    end)

    it("is waited for across processes", function()
      local p = Progress(1000)
      local child = helper.fork(function()
        for _ = 1, 1000 do p:increment() end
      end)
      assert.is_true(p:wait(20))
      assert.equal(1000, p.completed)
      child:finish()
    end)

    it("wakes who waits for it", function()
      local rounds, progresses, passed = 20, {}, Counter()
      for i = 1, rounds do progresses[i] = Progress(1) end
      local child = helper.fork(function()
        for i = 1, rounds do
          assert(progresses[i]:wait(20))
          passed:increment()
        end
      end)
      -- a lost wake-up would cost half a second
      assert.is_true(elapsed(function()
        for i = 1, rounds do
          child:until_asleep()
          progresses[i]:increment()
          helper.wait_until(function() return passed.value == i end)
        end
        assert.equal(0, child:finish())
      end) < rounds * 0.2)
    end)

    it("is not waited for longer than the timeout", function()
      local p = Progress(2)
      p:increment()
      assert.is_false(p:wait(0))
      assert.is_false(p:wait(0.02))
      assert.matches("^Progress:wait: timeout must be",
                     (refusal(p.wait, p, "1")))
    end)
  end)

  describe("a handle (" .. way .. ")", function()
    after_each(helper.nothing_left)

    it("leads to the same word, for either implementation", function()
      for _, other in pairs(ways) do
        local c = Counter(3)
        local again = revive(other.Counter, handle(c))
        again:increment()
        assert.equal(4, c.value)
        local f = revive(other.Flag, handle(Flag(true)))
        assert.is_true(f:wait(0))
        local p = Progress(4)
        p:increment()
        local seen = revive(other.Progress, handle(p))
        assert.equal(4, seen.total)
        assert.equal(25, seen.percent)
        seen:increment(3)
        assert.is_true(p.is_complete)
      end
    end)

    it("is equal to another one of the same word only", function()
      local c, d = Counter(1), Counter(1)
      local again = revive(Counter, handle(c))
      assert.is_true(again == c)
      assert.is_false(rawequal(again, c))
      assert.is_false(again == d)
    end)

    it("is a string that works in a forked child", function()
      local c = Counter()
      local text = handle(c)
      assert.equal("string", type(text))
      helper.in_child(function() revive(Counter, text):increment() end)
      assert.equal(1, c.value)
    end)

    it("of another program is refused", function()
      local text = helper.run [[
        local c = require "suitkaise.shared".Counter()
        io.write(getmetatable(c).__serialize(c))]]
      assert.matches("^%x+:%x+:%d+:%d+$", text)
      local ok, err = pcall(revive, Counter, text)
      assert.is_false(ok)
      assert.is_true(errors.is(err, "DeserializationError"))
      assert.matches(text, err.message, 1, true)
    end)

    it("that is broken is refused", function()
      local good = handle(Counter())
      local id = good:match "^%x+"
      local bad = { "", "x", ":", good:sub(1, 10), id .. ":", id .. ":1",
                    id .. ":ffffffffffffff00", id .. ":7fffffffffffff80",
                    ("f"):rep(1e5), 7, true, {}, print }
      for _, text in ipairs(bad) do
        local ok, err = pcall(revive, Counter, text)
        assert.is_false(ok)
        assert.is_true(errors.is(err, "DeserializationError"))
      end
      assert.is_false((pcall(revive, Counter, nil)))
    end)
  end)
end
