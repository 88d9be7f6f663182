-- Objects in a Share: fields read like a table's, methods run in the
-- coordinator, atomic, one after another.
local core = require "suitkaise.core"
local fixture = require "spec.share_helper"
local helper = require "spec.helper"
local sk = require "suitkaise"

local raises = fixture.raises

-- ---- classes as people write them ----

local Stats = sk.class "Stats"

function Stats:init(n)
  self.n, self.samples, self.deep = n or 0, {}, { inner = { value = 1 } }
end

Stats.unit = "ms"

function Stats:add(x) self.n = self.n + (x or 1) end
function Stats:add_and_get(x)
  self.n = self.n + (x or 1)
  return self.n
end
function Stats:twice(x)
  self:add(x)
  return self:add_and_get(x)
end
function Stats:record(x) self.samples[#self.samples + 1] = x end
function Stats:count() return #self.samples end
function Stats.give(_, ...) return ... end
function Stats:set_deep(x)
  self.deep.inner.value = x
  return self.deep.inner.value
end
function Stats:drop() self.n = nil end
function Stats:set(key, value) self[key] = value end
function Stats.__tostring(self) return "Stats of " .. self.n end

-- middleclass's shape: objects have a metatable beside the class.
local function middleclass_like()
  local dict = {}
  dict.__index = dict
  local class = { name = "Point", __instanceDict = dict }
  setmetatable(class, {
    __index = dict,
    __newindex = function(_, key, value) dict[key] = value end,
    __call = function(_, x)
      return setmetatable({ x = x, class = nil }, dict)
    end,
  })
  function class:move(by)
    self.x = self.x + by
    return self.x
  end
  return class
end

-- classic's shape: the class is the metatable and its parent's methods are
-- found through the class's metatable.
local function classic_like()
  local Object = {}
  Object.__index = Object
  function Object:move(by)
    self.x = self.x + by
    return self.x
  end
  local Point = { super = Object }
  Point.__index = Point
  setmetatable(Point, Object)
  return function(x) return setmetatable({ x = x }, Point) end
end

-- By hand: `__index` is another table than the metatable.
local function hand_written()
  local methods = {}
  function methods:move(by)
    self.x = self.x + by
    return self.x
  end
  return function(x) return setmetatable({ x = x }, { __index = methods }) end
end

local function sk_classes()
  local Base = sk.class "Base"
  function Base:move(by)
    self.x = self.x + by
    return self.x
  end
  local Derived = sk.class("Derived", Base)
  function Derived:init(x) self.x = x end
  return Derived
end

describe("a class of any make", function()
  after_each(fixture.clean_up)

  for name, make in pairs {
    ["sk.class"] = sk_classes, middleclass = middleclass_like,
    classic = classic_like, ["by hand"] = hand_written,
  } do
    it("works in a Share: " .. name, function()
      local share = fixture.share()
      share.p = make()(1)
      assert.equal(1, share.p.x)
      assert.equal(3, share.p:move(2))
      assert.equal(3, share.p.x)
      share.p.x = 10
      assert.equal(11, share.p:move(1))
      assert.is_nil(share.p.y)
    end)
  end

  it("is the same object in the process that made it", function()
    local share = fixture.share()
    share.s = Stats(1)
    assert.equal(Stats, getmetatable(sk.snapshot(share.s)))
    local Anonymous = { __index = {} }
    share.a = setmetatable({}, Anonymous)
    assert.equal(Anonymous, getmetatable(sk.snapshot(share.a)))
  end)

  it("may be made after the Share and by another process", function()
    local share = fixture.share()
    helper.in_child(function()
      local Local = { __index = {} }
      function Local.__index:double()
        self.x = self.x * 2
        return self.x
      end
      share.o = setmetatable({ x = 4 }, Local)
      assert(share.o:double() == 8)
    end)
    assert.equal(16, share.o:double())
    assert.equal(16, share.o.x)
  end)

  it("with the same name may be made by several processes", function()
    local share = fixture.share()
    share.objects = {}
    fixture.in_children(4, function(i)
      local Local = { __index = { give = function() return i end } }
      share.objects[i] = setmetatable({}, Local)
    end)
    for i = 1, 4 do assert.equal(i, share.objects[i]:give()) end
  end)

  it("may be a field of a module: it goes by name", function()
    package.loaded["spec_share_module"] = { Thing = { __index = {
      name = function() return "thing" end,
    } } }
    local share = fixture.share()
    share.thing = setmetatable({}, package.loaded.spec_share_module.Thing)
    assert.equal("thing", share.thing:name())
    package.loaded["spec_share_module"] = nil
  end)
end)

describe("a field of an object in a Share", function()
  after_each(fixture.clean_up)

  it("reads and is written like a table's", function()
    local share = fixture.share()
    share.s = Stats(5)
    assert.equal(5, share.s.n)
    share.s.n = 6
    share.s.label = "x"
    assert.equal(6, share.s.n)
    assert.equal("x", share.s.label)
    share.s.label = nil
    assert.is_nil(share.s.label)
    assert.equal(7, share.s:add_and_get())
  end)

  it("may be a constant of the class", function()
    local share = fixture.share()
    share.s = Stats()
    assert.equal("ms", share.s.unit)
    share.s.unit = "s"
    assert.equal("s", share.s.unit)
    share.s.unit = nil
    assert.equal("ms", share.s.unit)
  end)

  it("may be computed by a function __index", function()
    local share = fixture.share()
    local Circle = { __index = function(self, key)
      if key == "area" then return self.r * self.r * 3 end
      if key == "parts" then return { self.r } end
    end }
    share.c = setmetatable({ r = 2 }, Circle)
    assert.equal(12, share.c.area)
    share.c.r = 3
    assert.equal(27, share.c.area)
    assert.equal(3, share.c.parts[1])
    assert.is_nil(share.c.other)
  end)

  it("that is a table is written through its proxy", function()
    local share = fixture.share()
    share.s = Stats()
    share.s.deep.inner.value = 2
    assert.equal(2, share.s.deep.inner.value)
    share.s.deep.new = { 1, { 2 } }
    assert.equal(2, share.s.deep.new[2][1])
    share.s.deep.inner = nil
    assert.is_nil(share.s.deep.inner)
  end)

  it("that is an array has a length, pairs and a copy", function()
    local share = fixture.share()
    share.s = Stats()
    for i = 1, 3 do share.s:record(i * 10) end
    assert.equal(3, #share.s.samples)
    assert.equal(3, sk.len(share.s.samples))
    local seen = {}
    for k, v in sk.pairs(share.s.samples) do seen[k] = v end
    assert.same({ 10, 20, 30 }, seen)
    seen = {}
    for k, v in sk.ipairs(share.s.samples) do seen[k] = v end
    assert.same({ 10, 20, 30 }, seen)
    assert.same({ 10, 20, 30 }, sk.snapshot(share.s.samples))
  end)

  it("may be an object of its own", function()
    local share = fixture.share()
    local outer = Stats(1)
    outer.child = Stats(10)
    share.s = outer
    assert.equal(10, share.s.child.n)
    assert.equal(11, share.s.child:add_and_get())
    assert.equal(11, share.s.child.n)
    share.s.child.n = 20
    assert.equal(21, share.s.child:add_and_get())
    assert.equal(1, share.s.n)
    assert.equal(Stats, getmetatable(sk.snapshot(share.s.child)))
  end)

  it("may hold everything that a Share may", function()
    local share, counter = fixture.share(), sk.Counter(3)
    share.s = Stats()
    for key, value in pairs {
      number = 1.5, text = "t", yes = true, no = false, empty = "",
      counter = counter, nested = { { 1 } }, long = ("x"):rep(100000),
    } do
      share.s[key] = value
      if type(value) == "table" then
        assert.same(value, sk.snapshot(share.s[key]))
      elseif key == "counter" then
        share.s.counter:increment()
        assert.equal(4, counter.value)
      else
        assert.equal(value, share.s[key])
      end
    end
  end)

  it("may be a function", function()
    local share = fixture.share()
    share.s = Stats()
    share.s.fn = function(x) return x * 2 end
    assert.equal(8, share.s.fn(4))
    local with = Stats()
    with.callback = function() return with.n end
    with.n = 5
    share.t = with
    assert.equal(5, share.t.callback())
    assert.equal(6, share.t:add_and_get())
  end)

  it("takes a copy of what is shared", function()
    local share = fixture.share()
    share.t, share.s, share.u = { 1 }, Stats(), Stats(7)
    share.s.t = share.t
    share.s.list = { share.t, { share.u } }
    share.t[1] = 2
    share.u.n = 8
    assert.equal(1, share.s.t[1])
    assert.equal(1, share.s.list[1][1])
    assert.equal(7, share.s.list[2][1].n)
    share.v = share.s
    share.s.n = 100
    assert.equal(0, share.v.n)
    share.plain = { object = share.s, list = { share.u } }
    share.s.n = 101
    assert.equal(100, share.plain.object.n)
    assert.equal(9, share.plain.list[1]:add_and_get())
  end)

  it("cannot be a coroutine, and that is said", function()
    local share = fixture.share()
    share.s = Stats(1)
    local co = coroutine.create(function() end)
    local err = raises("SerializationError", function() share.s.co = co end)
    assert.matches("^share%.s%.co: ", err.message)
    err = raises("SerializationError", function()
      share.s.deep.co = { co }
    end)
    assert.matches("share%.s%.deep.*coroutine", err.message)
    err = raises("SerializationError", function()
      local s = Stats()
      s.co = co
      share.s = s
    end)
    assert.matches("^share%.s.*co.*coroutine", err.message)
    assert.equal(1, share.s.n)
    assert.same({}, share:errors())
  end)

  it("with an unusual key is refused or kept", function()
    local share = fixture.share()
    share.s = Stats()
    share.s[1], share.s[true], share.s["a b"] = "one", "yes", "space"
    assert.equal("one", share.s[1])
    assert.equal("yes", share.s[true])
    assert.equal("space", share.s["a b"])
    raises("ArgumentError", function() share.s[{}] = 1 end)
    raises("ArgumentError", function() share.s[nil] = 1 end)
    raises("ArgumentError", function() return share.s[{}] end)
  end)
end)

describe("an object that hangs together", function()
  after_each(fixture.clean_up)

  local function tree()
    local node = Stats(1)
    node.child = Stats(2)
    node.child.parent = node
    return node
  end

  it("keeps its cycles", function()
    local share = fixture.share()
    share.node = tree()
    assert.equal(2, share.node.child.n)
    assert.equal(1, share.node.child.parent.n)
    assert.equal(2, share.node:add_and_get())
    assert.equal(2, share.node.child.parent.n)
    share.node.n = 50
    assert.equal(50, share.node.child.parent.n)
    share.node.child.n = 60
    assert.equal(61, share.node.child:add_and_get())
    local copy = sk.snapshot(share.node)
    assert.is_true(rawequal(copy, copy.child.parent))
  end)

  it("keeps tables that two fields have", function()
    local share = fixture.share()
    local s = Stats()
    s.samples = { 1 }
    s.same = s.samples
    share.s = s
    share.s:record(2)
    assert.equal(2, #share.s.same)
    share.s.same[3] = 3
    assert.equal(3, share.s:count())
  end)

  it("may come to do so by a method", function()
    local share = fixture.share()
    local Tangle = sk.class "Tangle"
    function Tangle:init() self.a, self.n = { 1 }, 0 end
    function Tangle:tie()
      self.b, self.me = self.a, self
      self.n = self.n + 1
      return self.n
    end
    function Tangle:push(x) self.a[#self.a + 1] = x end
    share.t = Tangle()
    local held = share.t
    assert.equal(1, share.t:tie())
    share.t:push(2)
    assert.equal(2, share.t.b[2])
    assert.equal(2, held.me.b[2])
    held.n = 5
    assert.equal(6, held:tie())
    assert.equal(6, share.t.me.n)
  end)

  it("may be one with hooks of its own", function()
    local share = fixture.share()
    local Hooked = sk.class "Hooked"
    function Hooked:init(n) self.n, self.cache = n, "not carried" end
    function Hooked.__serialize(self) return { n = self.n } end
    function Hooked.__deserialize(state) return Hooked(state.n) end
    function Hooked:add(x)
      self.n = self.n + x
      return self.n
    end
    share.h = Hooked(1)
    assert.equal(1, share.h.n)
    assert.equal(3, share.h:add(2))
    share.h.n = 10
    assert.equal(10, share.h.n)
    assert.equal("not carried", share.h.cache)
  end)
end)

describe("a method of an object in a Share", function()
  after_each(fixture.clean_up)

  it("runs in the coordinator", function()
    local share = fixture.share()
    local Where = sk.class "Where"
    function Where.pid() return core.getpid() end
    share.w = Where()
    assert.equal(share.coordinator_pid, share.w:pid())
  end)

  it("changes what every process sees", function()
    local share = fixture.share()
    share.s = Stats()
    fixture.in_children(4, function()
      for _ = 1, 50 do share.s:add() end
      assert(share.s.n >= 50)
    end)
    assert.equal(200, share.s.n)
  end)

  it("gives back all of its results", function()
    local share = fixture.share()
    share.s = Stats()
    local function results(...) return { n = select("#", ...), ... } end
    assert.same({ n = 0 }, results(share.s:give()))
    assert.same({ n = 1 }, results(share.s:give(nil)))
    assert.same({ n = 5, 1, nil, "x", nil, nil },
                results(share.s:give(1, nil, "x", nil, nil)))
    local many = {}
    for i = 1, 200 do many[i] = i end
    many.n = 200
    local unpack = table.unpack or unpack
    assert.same(many, results(share.s:give(unpack(many, 1, 200))))
    local fn = share.s:give(function(x) return x + 1 end)
    assert.equal(2, fn(1))
    local object = share.s:give(Stats(4))
    assert.equal(Stats, getmetatable(object))
    assert.equal(4, object.n)
    local text = ("x"):rep(5e6)
    assert.is_true(share.s:give(text) == text)
  end)

  it("may give back itself: a copy", function()
    local share = fixture.share()
    share.s = Stats(1)
    local Me = sk.class "Me"
    function Me:init() self.n = 1 end
    function Me:me() return self end
    share.m = Me()
    local copy = share.m:me()
    copy.n = 2
    assert.equal(1, share.m.n)
    assert.equal(Me, getmetatable(copy))
  end)

  it("gets copies of what is shared", function()
    local share = fixture.share()
    share.s, share.t = Stats(), { 1, { 2 } }
    assert.same({ 1, { 2 } }, share.s:give(share.t))
    assert.same({ { 1, { 2 } } }, share.s:give { share.t })
    share.s:set("kept", share.t)
    share.t[1] = 5
    assert.equal(1, share.s.kept[1])
  end)

  it("may call other methods", function()
    local share = fixture.share()
    share.s = Stats(1)
    assert.equal(7, share.s:twice(3))
  end)

  it("may be inherited", function()
    local share = fixture.share()
    local Child = sk.class("Child", Stats)
    function Child:thrice(x)
      Stats.twice(self, x)
      return self:add_and_get(x)
    end
    share.c = Child(0)
    assert.equal(3, share.c:thrice(1))
    assert.equal("ms", share.c.unit)
    assert.equal(4, share.c:add_and_get())
  end)

  it("may set fields to nil and add new ones", function()
    local share = fixture.share()
    share.s = Stats(1)
    share.s:drop()
    assert.is_nil(share.s.n)
    share.s:set("n", 2)
    share.s:set("other", { 1 })
    assert.equal(2, share.s.n)
    assert.equal(1, share.s.other[1])
    share.s:set("other", nil)
    assert.is_nil(share.s.other)
  end)

  it("may be called while the object is written to", function()
    local share = fixture.share()
    share.s = Stats(0)
    for i = 1, 200 do
      share.s.n = i
      share.s:add(1)
      assert.equal(i + 1, share.s.n)
    end
  end)

  it("may be called on an object that is held", function()
    local share = fixture.share()
    share.s = Stats(1)
    local s = share.s
    share.s = Stats(100)
    assert.equal(101, s:add_and_get())
    assert.equal(101, s.n)
  end)

  it("of an object in a table is called there", function()
    local share = fixture.share()
    share.players = { a = Stats(1), list = { Stats(2) } }
    assert.equal(2, share.players.a:add_and_get())
    assert.equal(3, share.players.list[1]:add_and_get())
    share.players.list[2] = Stats(9)
    assert.equal(10, share.players.list[2]:add_and_get())
  end)

  it("may be __call", function()
    local share = fixture.share()
    local Callable = sk.class "Callable"
    function Callable:init() self.n = 0 end
    function Callable.__call(self, x)
      self.n = self.n + x
      return self.n
    end
    share.c = Callable()
    assert.equal(3, share.c(3))
    assert.equal(3, share.c.n)
  end)

  it("is also a method of plain objects of its class", function()
    local share = fixture.share()
    share.s = Stats(1)
    local add = share.s.add_and_get
    local plain = Stats(10)
    assert.equal(11, add(plain))
    assert.equal(2, add(share.s))
  end)

  it("runs to its end however long it takes", function()
    local share = fixture.share { read_timeout = 20 }
    local Slow = sk.class "Slow"
    function Slow:init() self.n = 0 end
    function Slow:work(seconds)
      local ends = core.now() + seconds
      while core.now() < ends do self.n = self.n + 1 end
      return true
    end
    share.s, share.other = Slow(), 1
    local child = helper.fork(function() assert(share.s:work(1.5)) end)
    helper.wait_until(function() return share.other == 1 end)
    assert.is_true(share.s:work(0))
    assert.equal(0, (child:finish()))
    assert.is_true(share.s.n > 0)
  end)

  it("that is not there is an error of the caller's", function()
    local share = fixture.share()
    share.s = Stats()
    assert.is_nil(share.s.no_such_method)
    assert.has_error(function() share.s:no_such_method() end)
    local err = raises("ShareCallError", function()
      sk.call(share.s, "no_such_method")
    end)
    assert.matches("no_such_method", err.message)
  end)
end)

describe("an object's proxy", function()
  after_each(fixture.clean_up)

  it("is the same as long as the object is one of its class", function()
    local share = fixture.share()
    share.s = Stats()
    assert.is_true(share.s == share.s)
    local s = share.s
    share.s = 5
    assert.equal(5, share.s)
    share.s = Stats(9)
    assert.equal(9, s.n)
  end)

  it("has a length when the object has one", function()
    local share = fixture.share()
    share.s = setmetatable({ 1, 2, 3 }, { __index = {} })
    assert.equal(3, #share.s)
    share.s[4] = 4
    assert.equal(4, #share.s)
  end)

  it("gives pairs of the fields", function()
    local share = fixture.share()
    share.s = setmetatable({ a = 1, t = { 2 } }, { __index = {} })
    local seen = {}
    for k, v in sk.pairs(share.s) do seen[k] = v end
    assert.equal(1, seen.a)
    assert.equal(2, seen.t[1])
    seen.t[1] = 3
    assert.equal(3, share.s.t[1])
  end)

  it("is a name as text", function()
    local share = fixture.share()
    share.list = { Stats() }
    assert.equal("share.list[1]", tostring(share.list[1]))
    assert.equal("share.list[1].deep.inner",
                 tostring(share.list[1].deep.inner))
  end)

  it("of an object that is gone says so", function()
    local share = fixture.share()
    share.s = Stats()
    local s, deep = share.s, share.s.deep
    share.s = nil
    assert.is_nil(s.n)
    raises("ShareError", function() return deep.inner end)
    local err = raises("ShareCallError", function() s:add_and_get() end)
    assert.matches("no object any more", err.message)
    err = raises("ShareCallError", function() sk.call(s, "add") end)
    assert.matches("no object any more", err.message)
  end)
end)

describe("an unusual object", function()
  after_each(fixture.clean_up)

  it("may hide its metatable", function()
    local share = fixture.share()
    local Hidden = { __metatable = "hidden", __index = {
      add = function(self)
        self.n = self.n + 1
        return self.n
      end,
    } }
    local object = { n = 1, inner = setmetatable({ n = 5 }, Hidden) }
    share.h = setmetatable(object, Hidden)
    assert.equal(2, share.h:add())
    assert.equal(6, share.h.inner:add())
    assert.equal(2, sk.snapshot(share.h).n)
    assert.equal(3, sk.snapshot(share.h):add())
    share.t = { share.h }
    assert.equal(3, share.t[1]:add())
  end)

  it("may have any keys", function()
    local share = fixture.share()
    local object = Stats(1)
    object[{}], object[print] = "table", "function"
    object["\0class"] = "field"
    share.o = object
    assert.equal("field", share.o["\0class"])
    assert.equal(2, share.o:add_and_get())
    share.s = Stats(1)
    share.s:set("\0class", "set")
    assert.equal("set", share.s["\0class"])
    assert.equal(2, share.s:add_and_get())
  end)

  it("whose hooks raise is refused, and the old value stays", function()
    local share = fixture.share()
    local Bad = sk.class "Bad"
    function Bad.__serialize() error("no", 0) end
    share.b = 1
    local err = raises("SerializationError", function() share.b = Bad() end)
    assert.matches("^share%.b: its __serialize raised an error: no",
                   err.message)
    assert.equal(1, share.b)
  end)

  it("may have no fields at all", function()
    local share = fixture.share()
    share.e = setmetatable({}, { __index = { f = function() return 1 end } })
    assert.equal(1, share.e:f())
    assert.is_nil(share.e.x)
    share.e.x = 2
    assert.equal(2, share.e.x)
  end)
end)

describe("declarations of a class", function()
  after_each(fixture.clean_up)

  it("say which fields a method writes and that it returns nothing", function()
    local share = fixture.share()
    local Declared = sk.class "Declared"
    Declared._shared_meta = { methods = {
      record = { writes = { "n" }, returns = false },
    } }
    function Declared:init() self.n, self.other = 0, 0 end
    function Declared:record()
      self.n = self.n + 1
      return self.n
    end
    share.d = Declared()
    assert.is_nil(share.d:record())
    assert.equal(1, share.d.n)
    assert.equal(2, sk.call(share.d, "record"))
  end)

  it("may be left out: a queued method is seen by the next read", function()
    local share = fixture.share()
    share.s = Stats()
    for i = 1, 300 do
      share.s:record(i)
      assert.equal(i, #share.s.samples)
    end
  end)
end)
