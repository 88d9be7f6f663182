-- Methods that go wrong: what they changed is not kept, and who called is told.
local fixture = require "spec.share_helper"
local helper = require "spec.helper"
local sk = require "suitkaise"

local raises = fixture.raises

local Stats = sk.class "Stats"

function Stats:init(n)
  self.n, self.samples, self.deep = n or 0, {}, { inner = { value = 1 } }
end

function Stats:add(x) self.n = self.n + (x or 1) end
function Stats:add_and_get(x)
  self.n = self.n + (x or 1)
  return self.n
end
function Stats.give(_, ...) return ... end
function Stats:fail(x)
  self.n = 1000
  self.samples[1] = "changed"
  self.deep.inner.value = "changed"
  error(x, 0)
end
describe("a method that raises", function()
  after_each(fixture.clean_up)

  local function unchanged(share)
    assert.equal(7, share.s.n)
    assert.same({}, sk.snapshot(share.s.samples))
    assert.equal(1, share.s.deep.inner.value)
    assert.equal(7, share.s:give(share.s.n))
  end

  local function new()
    local share = fixture.share()
    share.s = Stats(7)
    return share
  end

  it("changes nothing, nested tables included", function()
    local share = new()
    local err = raises("ShareCallError", function()
      sk.call(share.s, "fail", "on purpose")
    end)
    assert.equal("on purpose", err.original_error)
    assert.matches("^share%.s:fail: on purpose", err.message)
    assert.is_string(err.traceback)
    assert.equal(share.coordinator_pid, err.pid)
    unchanged(share)
    assert.equal(8, share.s:add_and_get())
  end)

  it("is named with what it says, be it a table without a message", function()
    local share = new()
    local err = raises("ShareCallError", function()
      sk.call(share.s, "fail", { code = 5 })
    end)
    assert.equal("share.s:fail: it raised a table", err.message)
    assert.same({ code = 5 }, err.original_error)
    err = raises("ShareCallError", function() sk.call(share.s, "fall") end)
    assert.equal("share.s:fall: the object has no such method", err.message)
  end)

  it("may raise any value", function()
    local share = new()
    local function original(x)
      local ok, err = pcall(sk.call, share.s, "fail", x)
      assert.is_false(ok)
      return err.original_error
    end
    assert.equal(42, original(42))
    assert.is_false(original(false))
    assert.same({ code = 1, nested = { 2 } },
                original { code = 1, nested = { 2 } })
    assert.equal("custom", original(sk.errors.new("TaskError", "custom"))
                 .message)
    assert.equal(Stats, getmetatable(original(Stats(1))))
    assert.equal(3, original(function() return 3 end)())
    local nothing = original(nil)
    assert.is_true(nothing == nil or nothing == "nil"
                   or tostring(nothing):match "nil" ~= nil)
    unchanged(share)
  end)

  it("may raise what cannot travel: its text does", function()
    local share = fixture.share()
    local Bad = sk.class "Bad"
    function Bad.raise() error(coroutine.create(function() end)) end
    function Bad.raise_nested()
      error { co = coroutine.create(function() end) }
    end
    function Bad.raise_secret()
      error(setmetatable({ co = coroutine.create(function() end) }, {
        __tostring = function() error "no" end,
      }))
    end
    share.b = Bad()
    for method, expected in pairs { raise = "^thread: ",
                                    raise_nested = "^table: ",
                                    raise_secret = "table" } do
      local err = raises("ShareCallError", function()
        sk.call(share.b, method)
      end)
      assert.matches(expected, err.original_error)
    end
  end)

  it("is reported when nobody waits", function()
    local share = fixture.share()
    local Quiet = sk.class "Quiet"
    Quiet._shared_meta = { methods = { fail = { returns = false } } }
    function Quiet.fail(_, x) error(x, 0) end
    share.q = Quiet()
    assert.is_false(share.has_error)
    assert.is_nil(share.q:fail("first"))
    share.q:fail("second")
    assert.is_true(share.has_error)
    local list = share:errors()
    assert.equal(2, #list)
    assert.is_true(sk.is(list[1], "ShareCallError"))
    assert.equal("first", list[1].original_error)
    assert.equal("second", list[2].original_error)
    assert.matches("^share%.q:fail: first", list[1].message)
    local err = select(2, pcall(share.flush, share))
    assert.equal("first", err.original_error)
    share:flush()
  end)

  for name, body in pairs {
    ["infinite recursion"] = function()
      local function down() return 1 + down() end
      return down()
    end,
    ["a yield"] = function() coroutine.yield(1) end,
    ["a field that cannot be shared"] = function(self)
      self.n = 1000
      self.co = coroutine.create(function() end)
    end,
    ["a missing global"] = function() return _G.no_such_thing.x end,
  } do
    it("by " .. name .. " changes nothing", function()
      local share = fixture.share()
      local Class = sk.class "Class"
      Class.run = body
      local object = Class()
      object.n = 7
      share.s = object
      raises("ShareCallError", function() sk.call(share.s, "run") end)
      assert.equal(7, share.s.n)
      assert.is_nil(share.s.co)
      share.s.n = 8
      assert.equal(8, share.s.n)
    end)
  end

  it("may use coroutines of its own", function()
    local share = fixture.share()
    local Co = sk.class "Co"
    function Co:init() self.n = 0 end
    function Co:run(n)
      for i in coroutine.wrap(function()
        for i = 1, n do coroutine.yield(i) end
      end) do
        self.n = self.n + i
      end
      return self.n
    end
    share.c = Co()
    assert.equal(10, share.c:run(4))
  end)
end)

describe("a method that ends its process", function()
  after_each(fixture.clean_up)

  for name, how in pairs {
    ["os.exit(0)"] = function() os.exit(0) end,
    ["os.exit(3)"] = function() os.exit(3) end,
    ["os.exit()"] = function() os.exit() end,
    ["its own SIGSEGV"] = function()
      local pid = require("suitkaise.core").getpid()
      os.execute(("kill -SEGV %d; sleep 5"):format(pid))
    end,
  } do
    it("is tried once more, dropped and reported: " .. name, function()
      local share = fixture.share()
      local Deadly = sk.class "Deadly"
      Deadly.die = how
      local object = Deadly()
      object.tries = sk.Counter(0)
      function Deadly:run()
        self.tries:increment()
        self:die()
      end
      share.d, share.n = object, 1
      local err = raises("ShareCallError", function()
        sk.call(share.d, "run")
      end)
      assert.matches("ended the coordinator too often", err.message)
      assert.equal(2, object.tries.value)
      assert.equal(1, share.n)
      share.n = 2
      assert.equal(2, share.n)
      assert.is_true(share.is_running)
    end)
  end
end)

describe("a method that uses shares", function()
  after_each(fixture.clean_up)

  it("reads its own share as it was when the call began", function()
    local share = fixture.share()
    local Reader = sk.class "Reader"
    function Reader:init() self.n = 1 end
    function Reader:look()
      self.n = self.n + 1
      return share.x, share.t[2].y, #share.t, share.none,
             sk.snapshot(share.t), share.object.n
    end
    share.x, share.t, share.object = 5, { 1, { y = 6 } }, Stats(8)
    share.r = Reader()
    for i = 1, 20 do
      share.x = i
      local x, y, n, none, t, m = share.r:look()
      assert.equal(i, x)
      assert.equal(6, y)
      assert.equal(2, n)
      assert.is_nil(none)
      assert.same({ 1, { y = 6 } }, t)
      assert.equal(8, m)
    end
  end)

  it("cannot change its own share, and is told so at once", function()
    local share = fixture.share()
    local Writer = sk.class "Writer"
    function Writer.set() share.x = 2 end
    function Writer.set_table() share.x = { 2 } end
    function Writer.delete() share.x = nil end
    function Writer.add() sk.increment(share, "x") end
    function Writer.update() sk.update(share, "x", function() return 2 end) end
    function Writer.call() share.s:add() end
    function Writer.clear() share:clear() end
    function Writer.flush() share:flush() end
    function Writer.wait() sk.wait_for(share, "x", 3) end
    function Writer.stop() share:stop() end
    share.x, share.w, share.s = 1, Writer(), Stats()
    for _, method in ipairs { "set", "set_table", "delete", "add", "update",
                              "call", "clear", "flush", "wait", "stop" } do
      local took = fixture.elapsed(function()
        local err = raises("ShareCallError", function()
          sk.call(share.w, method)
        end)
        assert.is_true(sk.is(err.original_error, "ShareError"), method)
        assert.matches("can read its own share, but", err.message)
      end)
      assert.is_true(took < 5)
      assert.equal(1, share.x)
      assert.equal(0, share.s.n)
    end
  end)

  it("may read and write another share", function()
    local two, one = fixture.share(), fixture.share()
    local Bridge = sk.class "Bridge"
    function Bridge.pass(_, x)
      two.x = x
      return two.x, sk.increment(two, "n")
    end
    one.b, two.n = Bridge(), 10
    local x, n = one.b:pass(5)
    assert.equal(5, x)
    assert.equal(11, n)
    assert.equal(5, two.x)
  end)

  it("may make an object of a class that the share does not know", function()
    local share = fixture.share()
    local Maker = sk.class "Maker"
    function Maker:make(x)
      local Hidden = { __index = { get = function(o) return o.x end } }
      self.made = { setmetatable({ x = x }, Hidden) }
    end
    share.m = Maker()
    sk.call(share.m, "make", 4)
    assert.equal(4, share.m.made[1].x)
    sk.update(share, "made", function()
      return setmetatable({ x = 6 }, { __index = {
        get = function(o) return o.x end,
      } })
    end)
    assert.equal(6, share.made:get())
    helper.in_child(function() assert(share.made:get() == 6) end)
  end)

  it("loses a class with what it failed to store", function()
    local share = fixture.share()
    local New = { __index = { get = function(o) return o.x end } }
    pcall(sk.update, share, "x", function(_, make)
      return make()
    end, function() error "no" end)
    share.x = setmetatable({ x = 1 }, New)
    assert.equal(1, share.x:get())
  end)
end)
