-- Objects: their classes by name and by value, and their hooks.
local cerial = require "suitkaise.cerial"
local class = require "suitkaise.class"
local helper = require "spec.cerial_helper"

local copy, TRUST = helper.copy, helper.TRUST

-- A class under a name of its own, and what takes it away again.
local registered = {}
local function register(name, t)
  registered[#registered + 1] = { name, t }
  return cerial.register(name, t)
end

local function forget()
  local registry = require "suitkaise.cerial.registry"
  for _, entry in ipairs(registered) do
    registry.values[entry[1]] = nil
    registry.names[entry[2]] = nil
  end
  registered = {}
end

helper.each_way(function(way, use)
  describe("objects " .. way, function()
    setup(use)
    after_each(forget)

    it("of a registered class arrive without trust", function()
      local Player = { level = 1 }
      Player.__index = Player
      register("spec.Player", Player)
      local a = setmetatable({ name = "ann" }, Player)
      local bytes = cerial.serialize { a, a, { a }, setmetatable({}, Player) }
      local back = cerial.deserialize(bytes)
      assert.equal(Player, getmetatable(back[1]))
      assert.equal("ann", rawget(back[1], "name"))
      assert.equal(back[1], back[2])
      assert.equal(back[1], back[3][1])
      assert.equal(1, back[4].level)
    end)

    it("take few bytes each", function()
      local P = {}
      P.__index = P
      register("spec.P", P)
      local list = {}
      for i = 1, 100 do list[i] = setmetatable({ x = i % 20 }, P) end
      assert.is_true(#cerial.serialize(list) < 100 * 8 + 40)
    end)

    it("travel with their class by value when it has no name", function()
      local C = { shared = {} }
      C.__index = C
      function C:get() return self.n, C end
      local back = copy { setmetatable({ n = 5 }, C), setmetatable({}, C) }
      local n, its_class = back[1]:get()
      assert.equal(5, n)
      assert.equal(its_class, getmetatable(back[1]))
      assert.equal(its_class, getmetatable(back[2]))
      assert.not_equal(C, its_class)
      assert.equal(its_class.shared, back[1].shared)
    end)

    it("are refused untrusted when the class has no name", function()
      local bytes = cerial.serialize(setmetatable({}, { tag = 1 }))
      local err = helper.error_of("DeserializationError", cerial.deserialize,
                                  bytes)
      assert.matches("register", err.message, 1, true)
    end)

    it("are refused untrusted when the class is only in a module", function()
      local o = class("Anything")()
      local bytes = cerial.serialize { o }
      helper.error_of("DeserializationError", cerial.deserialize, bytes)
    end)

    it("carry inheritance chains", function()
      local Animal = { legs = 4 }
      Animal.__index = Animal
      function Animal:speak() return self.name .. " makes a sound" end
      local Dog = setmetatable({}, Animal)
      Dog.__index = Dog
      function Dog:speak() return Animal.speak(self) .. ": woof" end
      local rex = copy(setmetatable({ name = "rex" }, Dog))
      assert.equal("rex makes a sound: woof", rex:speak())
      assert.equal(4, rex.legs)
    end)

    it("hold their own class and objects of it in the class", function()
      local C = {}
      C.__index = C
      C.default = setmetatable({ is_default = true }, C)
      local back = copy(setmetatable({ class = C }, C))
      assert.equal(back.class, getmetatable(back))
      assert.equal(back.class, getmetatable(back.default))
    end)

    it("do not run metamethods on the way", function()
      local function never() error "called" end
      local C = { __index = never, __newindex = never, __len = never,
                  __pairs = never, __eq = never, __tostring = never }
      register("spec.Touchy", C)
      local back = copy(setmetatable({ 1, 2, a = 1 }, C))
      assert.equal(2, rawget(back, 2))
      assert.equal(1, rawget(back, "a"))
      assert.equal(C, getmetatable(back))
    end)

    it("keep the mode of weak tables", function()
      local back = copy(setmetatable({ [{}] = 1 }, { __mode = "k" }))
      assert.equal("k", getmetatable(back).__mode)
      collectgarbage()
      collectgarbage()
      assert.is_nil(next(back))
    end)

    it("keep a protected metatable", function()
      local C = { __metatable = "locked" }
      C.__index = C
      local back = copy(setmetatable({ n = 1 }, C))
      assert.equal("locked", getmetatable(back))
      assert.equal(1, rawget(back, "n"))
    end)

    if _VERSION ~= "Lua 5.1" then
      it("are finalized when their class came by value", function()
        local counts = { n = 0 }
        _G.spec_counts = counts
        local C = { __gc = function()
          _G.spec_counts.n = _G.spec_counts.n + 1
        end }
        C.__index = C
        local kept = setmetatable({ C = C }, C)
        local bytes = cerial.serialize { kept }
        local back = cerial.deserialize(bytes, TRUST)
        assert.is_not_nil(back[1].C.__gc)
        back = nil -- luacheck: ignore
        collectgarbage()
        collectgarbage()
        assert.equal(1, counts.n)
        getmetatable(kept).__gc = nil
        _G.spec_counts = nil
      end)
    end

    it("are refused when their class is unknown to the reader", function()
      local Gone = {}
      register("spec.Gone", Gone)
      local bytes = cerial.serialize(setmetatable({}, Gone))
      forget()
      local err = helper.error_of("DeserializationError", cerial.deserialize,
                                  bytes)
      assert.matches('"spec.Gone"', err.message, 1, true)
      err = helper.error_of("DeserializationError", cerial.deserialize, bytes,
                            TRUST)
      assert.matches("spec.Gone", err.message, 1, true)
    end)

    it("travel as classes too", function()
      local Player = {}
      Player.__index = Player
      function Player:rise() self.level = self.level + 1 end
      register("spec.Player", Player)
      local back = cerial.deserialize(cerial.serialize { class = Player })
      assert.equal(Player, back.class)
    end)
  end)

  describe("hooks " .. way, function()
    setup(use)
    after_each(forget)

    local function hooked()
      local C = {}
      C.__index = C
      function C.__serialize(self) return { self.n + 1, self.kid } end
      function C.__deserialize(state)
        return setmetatable({ n = state[1] + 100, kid = state[2] }, C)
      end
      return register("spec.Hooked", C)
    end

    it("make the state and the object", function()
      local C = hooked()
      local bytes = cerial.serialize { o = setmetatable({ n = 1 }, C) }
      local back = cerial.deserialize(bytes)
      assert.equal(102, back.o.n)
      assert.equal(C, getmetatable(back.o))
    end)

    it("run once for each object", function()
      local C = hooked()
      local calls, serialize = 0, C.__serialize
      C.__serialize = function(self)
        calls = calls + 1
        return serialize(self)
      end
      local o = setmetatable({ n = 1 }, C)
      local back = copy { o, o, { o } }
      assert.equal(1, calls)
      assert.equal(back[1], back[2])
      assert.equal(back[1], back[3][1])
    end)

    it("are inherited", function()
      local C = hooked()
      local Sub = setmetatable({}, { __index = C })
      Sub.__index = Sub
      register("spec.Sub", Sub)
      local back = copy(setmetatable({ n = 1 }, Sub))
      assert.equal(102, back.n)
    end)

    it("keep cycles through the state", function()
      local C = hooked()
      local o = setmetatable({ n = 1 }, C)
      o.kid = { up = o, key = { [o] = true } }
      local back = copy(o)
      assert.equal(back, back.kid.up)
      assert.is_true(back.kid.key[back])
      assert.equal(C, getmetatable(back))
      assert.equal(102, back.n)
    end)

    it("keep two objects that hold each other", function()
      local C = hooked()
      local a = setmetatable({ n = 1 }, C)
      local b = setmetatable({ n = 2, kid = a }, C)
      a.kid = b
      local back = copy { a = a, b = b }
      assert.equal(back.b, back.a.kid)
      assert.equal(back.a, back.b.kid)
      assert.equal(102, back.a.n)
      assert.equal(103, back.b.n)
    end)

    it("may return the object itself: its fields travel", function()
      local C = { __serialize = function(self) return self end }
      C.__deserialize = function(state)
        assert(getmetatable(state) == nil)
        return setmetatable(state, C)
      end
      register("spec.Same", C)
      local o = setmetatable({ n = 1 }, C)
      o.me = o
      local back = copy(o)
      assert.equal(1, rawget(back, "n"))
      assert.equal(back, rawget(back, "me"))
      assert.equal(C, getmetatable(back))
    end)

    it("may serialize inside", function()
      local C = register("spec.Nested", {})
      C.__serialize = function(self) return cerial.serialize(self[1]) end
      C.__deserialize = function(s)
        return setmetatable({ cerial.deserialize(s) }, C)
      end
      local back = copy { setmetatable({ { 1, { 2 } } }, C), "after", {} }
      assert.equal(2, back[1][1][2][1])
      assert.equal("after", back[2])
    end)

    it("may collect garbage and change what is being written", function()
      local list = {}
      local C = register("spec.Meddler", {})
      C.__serialize = function()
        for i = 1, 100 do list["new" .. i] = { i } end
        collectgarbage()
        return { "state" }
      end
      C.__deserialize = function(s) return s end
      for i = 1, 10 do list[i] = { i } end
      list.m = setmetatable({}, C)
      local ok, err = pcall(cerial.serialize, list)
      if not ok then
        assert.matches("changed", tostring(err), 1, true)
      end
      assert.equal(1, copy { 1 }[1])
    end)

    it("that raise leave the encoder as new", function()
      local C = register("spec.Bad", {})
      C.__serialize = function() error "no way" end
      local good = cerial.serialize { 1, { 2 } }
      for _ = 1, 3 do
        local err = helper.error_of("SerializationError", cerial.serialize,
          { 1, { deep = setmetatable({}, C) } })
        assert.equal("[2].deep", err.path)
        assert.matches("no way", err.message, 1, true)
        assert.matches("no way", tostring(err.original_error), 1, true)
        assert.equal(good, cerial.serialize { 1, { 2 } })
      end
    end)

    it("that raise on arrival leave the decoder as new", function()
      local C = register("spec.Bad", {})
      C.__serialize = function() return 1 end
      C.__deserialize = function() error { code = 7 } end
      local bytes = cerial.serialize { setmetatable({}, C) }
      for _ = 1, 3 do
        local err = helper.error_of("DeserializationError",
                                    cerial.deserialize, bytes)
        assert.equal(7, err.original_error.code)
        assert.equal(2, copy { 1, { 2 } }[2][1])
      end
    end)

    it("work for userdata classes", function()
      local ok, proxy = pcall(function() return newproxy(true) end)
      if not ok then proxy = io.tmpfile() end
      local meta = debug.getmetatable(proxy)
      if not ok then meta = nil end
      if not meta then return end
      meta.__serialize = function() return { "state" } end
      meta.__deserialize = function(s) return { came = s[1] } end
      register("spec.proxy", meta)
      local back = cerial.deserialize(cerial.serialize { proxy, proxy })
      assert.equal("state", back[1].came)
      assert.equal(back[1], back[2])
    end)

    it("may make something that is no table, cycles included", function()
      local C = register("spec.Maker", {})
      C.__serialize = function(self) return { self.list } end
      C.__deserialize = function(state)
        return function() return state[1] end
      end
      local o = setmetatable({ list = {} }, C)
      o.list[1] = o
      local back = copy { o }
      assert.equal(back[1], back[1]()[1])
    end)
  end)
end)

describe("register", function()
  after_each(forget)

  it("refuses a second class under one name", function()
    register("spec.One", {})
    local err = helper.error_of("ArgumentError", cerial.register, "spec.One",
                                {})
    assert.matches("spec.One", err.message, 1, true)
  end)

  it("may be repeated", function()
    local C = {}
    register("spec.One", C)
    assert.equal(C, cerial.register("spec.One", C))
  end)

  it("refuses what is no class or name", function()
    helper.error_of("ArgumentError", cerial.register, "x", 1)
    helper.error_of("ArgumentError", cerial.register, "", {})
    helper.error_of("ArgumentError", cerial.register, nil, {})
  end)
end)

-- Class libraries: objects of a class that the program made, by value, and
-- under a name.
local function library(name, make)
  describe(name, function()
    after_each(forget)

    it("keeps objects, methods and inheritance by value", function()
      local Dog, new = make()
      local back = copy { new(Dog, "rex"), new(Dog, "pluto") }
      assert.equal("rex barks on 4 legs", back[1]:speak())
      assert.equal("pluto barks on 4 legs", back[2]:speak())
      assert.equal(getmetatable(back[1]), getmetatable(back[2]))
    end)

    it("keeps the class under its name", function()
      local Dog, new = make()
      register("spec." .. name, Dog)
      local rex = new(Dog, "rex")
      local back = copy(rex)
      assert.equal(getmetatable(rex), getmetatable(back))
      assert.equal("rex barks on 4 legs", back:speak())
      if rawget(rex, "class") == nil then
        back = cerial.deserialize(cerial.serialize(rex))
        assert.equal("rex barks on 4 legs", back:speak())
      end
    end)
  end)
end

local function call_new(C, name) return C(name) end

library("suitkaise.class", function()
  local Animal = class "Animal"
  Animal.legs = 4
  function Animal:init(name) self.name = name end
  local Dog = class("Dog", Animal)
  function Dog:speak()
    return self.name .. " barks on " .. self.legs .. " legs"
  end
  return Dog, call_new
end)

local has_penlight, pl_class = pcall(require, "pl.class")
if has_penlight then
  library("Penlight", function()
    local Animal = pl_class()
    Animal.legs = 4
    function Animal:_init(name) self.name = name end
    local Dog = pl_class(Animal)
    function Dog:speak()
      return self.name .. " barks on " .. self.legs .. " legs"
    end
    return Dog, call_new
  end)
end

-- The shapes that the class libraries give to objects and classes.
library("middleclass", function()
  local function make(name, super)
    local instances = {}
    instances.__index = instances
    local C = { name = name, super = super, static = {}, subclasses = {},
                __instanceDict = instances, __declaredMethods = {} }
    if super then
      for k, v in pairs(super.__instanceDict) do
        if k ~= "__index" then instances[k] = v end
      end
      super.subclasses[C] = true
    end
    return setmetatable(C, {
      __index = C.static, __tostring = function() return name end,
      __call = function(self, ...)
        local o = setmetatable({ class = self }, self.__instanceDict)
        o:initialize(...)
        return o
      end,
      __newindex = function(self, k, v)
        self.__declaredMethods[k] = v
        self.__instanceDict[k] = v
      end,
    })
  end
  local Animal = make "Animal"
  Animal.legs = 4
  function Animal:initialize(name) self.name = name end
  local Dog = make("Dog", Animal)
  function Dog:speak()
    return self.name .. " barks on " .. self.legs .. " legs"
  end
  return Dog, call_new
end)

library("classic", function()
  local Object = {}
  Object.__index = Object
  function Object.new() end
  function Object:extend()
    local C = {}
    for k, v in pairs(self) do
      if k:find "__" == 1 then C[k] = v end
    end
    C.__index = C
    C.super = self
    return setmetatable(C, self)
  end
  function Object:__call(...)
    local o = setmetatable({}, self)
    o:new(...)
    return o
  end
  local Animal = Object:extend()
  Animal.legs = 4
  function Animal:new(name) self.name = name end
  local Dog = Animal:extend()
  function Dog:speak()
    return self.name .. " barks on " .. self.legs .. " legs"
  end
  return Dog, call_new
end)

library("30log", function()
  local instances = setmetatable({}, { __mode = "k" })
  local function make(name, super)
    local C = { name = name, super = super, __subclasses = {} }
    for k, v in pairs(super or {}) do
      if C[k] == nil then C[k] = v end
    end
    C.__index = C
    return setmetatable(C, {
      __call = function(called, ...)
        local o = setmetatable({ class = called }, called)
        instances[o] = true
        called.init(o, ...)
        return o
      end,
    })
  end
  local Animal = make "Animal"
  Animal.legs = 4
  function Animal:init(name) self.name = name end
  local Dog = make("Dog", Animal)
  function Dog:speak()
    return self.name .. " barks on " .. self.legs .. " legs"
  end
  return Dog, call_new
end)
