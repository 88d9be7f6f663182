-- The detector and what classes are made of: class libraries of each kind, and
-- classes that are stranger than any.

local detect = require "suitkaise.detect"
local helper = require "spec.helper"
local sk = require "suitkaise"

local has_bytecode = helper.lua == "luajit"

local function words(set)
  if set == "all" then return "all" end
  local names = {}
  for name in pairs(set) do names[#names + 1] = tostring(name) end
  table.sort(names)
  return table.concat(names, " ")
end

local function found(class, name, fn)
  local answer = detect.method(class, name, fn)
  return words(answer.reads) .. " -> " .. words(answer.writes)
end

local function expect(text, class, name, fn)
  assert.equal(has_bytecode and text or "all -> all", found(class, name, fn))
end

local function class_of(fn)
  local class = { method = fn }
  class.__index = class
  return class
end

-- ---- ways to make a class ----
-- Each gives the metatable of the objects, and where methods are defined.

local ways = {}

ways["a table that is its own __index"] = function()
  local class = {}
  class.__index = class
  function class.new(...)
    local object = setmetatable({}, class)
    object:init(...)
    return object
  end
  return class, class
end

ways["sk.class"] = function()
  local class = sk.class "Stats"
  return class, class
end

ways["sk.class with a parent"] = function()
  local class = sk.class("Child", sk.class "Parent")
  return class, class
end

ways["a class that makes objects of self"] = function()
  local class = { super = { name = "none" } }
  class.class = class
  function class:new(object)
    object = object or {}
    setmetatable(object, self)
    self.__index = self
    object.items, object.sum = {}, 0
    return object
  end
  class.__index = class
  return class, class
end

-- As classic has it: a parent's metamethods are copied.
local Root = {}
Root.__index = Root
function Root.new() end
function Root:extend()
  local class = {}
  for key, value in pairs(self) do
    if key:find "__" == 1 then class[key] = value end
  end
  class.__index, class.super = class, self
  return setmetatable(class, self)
end
function Root:implement(...)
  for _, other in pairs { ... } do
    for key, value in pairs(other) do
      if self[key] == nil and type(value) == "function" then
        self[key] = value
      end
    end
  end
end
function Root:is(class)
  local meta = getmetatable(self)
  while meta and meta ~= class do meta = getmetatable(meta) end
  return meta ~= nil
end
function Root:__call(...)
  local object = setmetatable({}, self)
  object:new(...)
  return object
end

ways["a class like those of classic"] = function()
  local class = Root:extend():extend()
  return class, class
end

-- As middleclass has it: methods are in a table beside the class.
local function beside(super)
  local methods = {}
  methods.__index = methods
  local class = {
    super = super, methods = methods, own = {},
    static = setmetatable({}, { __index = function(_, key)
      local value = rawget(methods, key)
      if value == nil and super then return super.static[key] end
      return value
    end }),
  }
  setmetatable(class, {
    __index = class.static,
    __newindex = function(self, key, value)
      self.own[key], methods[key] = value, value
    end,
    __call = function(self, ...)
      local object = setmetatable({ class = self }, self.methods)
      object:init(...)
      return object
    end,
  })
  for key, value in pairs(super and super.methods or {}) do
    if key ~= "__index" then methods[key] = value end
  end
  function methods:is_of(other)
    return self.class == other or self.class.super == other
  end
  function class.static:subclass() return beside(self) end
  return class
end

ways["a class like those of middleclass"] = function()
  local class = beside():subclass()
  return class.methods, class
end

-- As 30log has it: objects get copies of their class's tables, and functions
-- for classes are methods as well.
local objects = setmetatable({}, { __mode = "k" })

local function deep_copy(from, to, kind)
  to = to or {}
  for key, value in pairs(from) do
    if not kind or type(value) == kind then
      if type(value) == "table" and key ~= "__index" and key ~= "super" then
        to[key] = deep_copy(value)
      else
        to[key] = value
      end
    end
  end
  return to
end

local Base = { name = "Base", subclasses = {}, mixins = {} }
Base.__index = Base
function Base:new(...)
  local object = { class = self }
  objects[object] = tostring(object)
  deep_copy(self, object, "table")
  setmetatable(object, self)
  if self.init then self.init(object, ...) end
  return object
end
function Base:extend(name)
  local class = deep_copy(self)
  self.subclasses[class] = true
  class.name, class.super, class.mixins = name, self, {}
  class.__index = class
  return setmetatable(class, getmetatable(self))
end
function Base:cast(class)
  setmetatable(self, class)
  self.class = class
  return self
end
function Base:with(...)
  for _, mixin in ipairs { ... } do
    self.mixins[mixin] = true
    deep_copy(mixin, self, "function")
  end
  return self
end
setmetatable(Base, { __call = function(self, ...) return self:new(...) end })

ways["a class like those of 30log"] = function()
  local class = deep_copy(Base):extend "Stats"
  return class, class
end

local function define(class)
  function class:init(n)
    self.n, self.items, self.log, self.sum = n, {}, {}, 0
    self.limits = { low = 0, high = 1 }
  end
  function class:record(x)
    self.items[#self.items + 1] = x
    self.sum = self.sum + x
  end
  function class:mean() return self.sum / #self.items end
  function class:clear() self.items = {} end
  function class:limit(low) self.limits.low = low end
  function class:fill(list)
    for _, x in ipairs(list) do self:record(x) end
    self:note "filled"
  end
  function class:note(text) table.insert(self.log, text) end
end

for way, make in pairs(ways) do
  describe("detect.method, for " .. way .. ",", function()
    after_each(helper.nothing_left)

    it("is exact about ordinary methods", function()
      local class, target = make()
      define(target)
      expect("items sum -> items sum", class, "record")
      expect("items sum -> ", class, "mean")
      expect(" -> items", class, "clear")
      expect("limits -> limits", class, "limit")
      expect("log -> log", class, "note")
      expect("items log sum -> items log sum", class, "fill")
    end)

    it("sees fields that a method made the same table", function()
      local class, target = make()
      define(target)
      function target:share() self.log = self.items end
      local answer = detect.method(class, "record")
      if has_bytecode then
        assert.equal("items log sum", words(answer.writes))
      else
        assert.equal("all", answer.writes)
      end
    end)
  end)
end

describe("detect.method", function()
  after_each(helper.nothing_left)

  it("sees what a constructor that makes objects of self shares", function()
    local class = {}
    class.__index = class
    function class:new()
      local object = setmetatable({}, self)
      object.a = {}
      object.b = object.a
      return object
    end
    function class:set() self.a.x = 1 end
    expect("a -> a b", class, "set")
  end)

  it("sees that a table of others holds self", function()
    local kept = { object = {} }
    local class = class_of(function() kept.object.x = kept.object.y end)
    function class:keep() kept.object = self end
    assert.equal("all", detect.method(class, "method").writes)
  end)

  it("knows is_a and extend of sk.class", function()
    local class = sk.class "Stats"
    function class:check() self.ok = self:is_a "Stats" end
    local answer = detect.method(class, "check")
    assert.equal(has_bytecode and "ok" or "all", words(answer.writes))
  end)
end)

-- ---- strange classes ----

local function method(self, x) self.items[#self.items + 1] = x end

local function raise() error "strange" end

local hostile = {
  __eq = raise, __tostring = raise, __index = raise, __newindex = raise,
  __lt = raise, __concat = raise, __len = raise,
}

local strange = {}

strange["that holds itself"] = function()
  local class = class_of(method)
  class.class, class[1], class[class] = class, class, class
  return class
end

strange["whose parents are a circle"] = function()
  local a, b = class_of(method), class_of()
  setmetatable(a, { __index = b })
  setmetatable(b, { __index = a })
  return a
end

strange["whose __index are a circle"] = function()
  local a, b = { method = method }, {}
  a.__index, b.__index = b, a
  setmetatable(a, b)
  setmetatable(b, a)
  return a
end

strange["that is its own metatable"] = function()
  local class = class_of(method)
  return setmetatable(class, class)
end

strange["whose metatable raises for everything"] = function()
  return setmetatable({ method = method }, hostile)
end

strange["with keys and values that raise for everything"] = function()
  local class = class_of(method)
  class[setmetatable({}, hostile)] = setmetatable({}, hostile)
  class.value = setmetatable({}, hostile)
  return class
end

strange["whose metatable is hidden"] = function()
  return setmetatable(class_of(method), { __metatable = false })
end

strange["whose __index is of another kind"] = function()
  return { method = method, __index = io.stdout }
end

for what, make in pairs(strange) do
  describe("detect.method, for a class " .. what .. ",", function()
    after_each(helper.nothing_left)

    it("is exact", function()
      expect("items -> items", make(), "method", method)
      expect("items -> items", make(), "other", method)
    end)
  end)
end

-- The source of a function of `count` lines.
local function long(count, line, head, tail)
  local lines = { "return function(self, x) " .. (head or "") }
  for i = 1, count do lines[#lines + 1] = (line:gsub("%%d", i)) end
  lines[#lines + 1] = (tail or "") .. " end"
  return assert((loadstring or load)(table.concat(lines, "\n")))()
end

describe("detect.method answers all", function()
  after_each(helper.nothing_left)

  local function expect_all(class, name, fn)
    assert.equal("all -> all", found(class, name, fn))
  end

  it("for a C function, and for what is no function", function()
    expect_all(class_of(print), "method")
    expect_all(class_of(coroutine.wrap(method)), "method")
    local base = setmetatable({}, { __index = error })
    expect_all(class_of(setmetatable({ _base = base }, { __call = method })),
               "method")
  end)

  it("for a method that is too long", function()
    local fn = long(2000, "if x > %d then t = { t, self.f%d } end",
                    "local t = {}", "print(t) self.f = t")
    expect_all(class_of(fn), "method")
  end)

  it("for a method with too many closures", function()
    expect_all(class_of(long(2000, "t = function() return t, self end",
                             "local t", "print(t)")), "method")
  end)

  it("where a class has a function that is too long, for what it writes",
     function()
    local class = class_of(method)
    class.long = long(2000, "if x > %d then t = { t, self.f%d } end",
                      "local t = {}", "print(t) self.f = t")
    expect_all(class, "method")
    function class.nothing() return 1 end
    expect(" -> ", class, "nothing")
  end)
end)

describe("detect.method follows", function()
  after_each(helper.nothing_left)

  it("a straight method of 2,000 lines", function()
    expect("g -> f", class_of(long(2000, "self.f = self.g + %d")), "method")
  end)

  it("many upvalues", function()
    local lines, names = {}, {}
    for i = 1, 59 do
      lines[i], names[i] = "local u" .. i .. " = {}", "u" .. i
    end
    local fn = assert((loadstring or load)(table.concat(lines, "\n")
      .. "\nreturn function(self) self.n = #{ " .. table.concat(names, ", ")
      .. " } end"))()
    expect(" -> n", class_of(fn), "method")
  end)

  it("closures in closures", function()
    local source = "return function(self) "
      .. ("local function f() "):rep(20) .. "self.deep = 1 "
      .. ("end f() "):rep(20) .. "end"
    expect(" -> deep", class_of(assert((loadstring or load)(source))()),
           "method")
  end)

  it("closures that return themselves and one another", function()
    local function fn(self, x)
      local a, b
      function a()
        self.n = 1
        return b, a
      end
      function b()
        self.log = 1
        return a, b
      end
      print(a, b)
      x(a, b)
    end
    local answer = detect.method(class_of(fn), "method")
    assert.equal(has_bytecode and "log n" or "all", words(answer.writes))
  end)
end)

describe("detect.method", function()
  after_each(helper.nothing_left)

  it("takes any name, when it is given the function", function()
    expect("items -> items", class_of(method), nil, method)
    expect("items -> items", class_of(method), 0 / 0, method)
    expect("items -> items", class_of(method), {}, method)
  end)

  it("refuses a name of which an __index raises, as one that is none",
     function()
    local class = setmetatable({}, { __index = raise })
    local ok, err = pcall(detect.method, class, "method")
    assert.is_false(ok)
    assert.is_true(sk.is(err, "ArgumentError"))
  end)
end)
