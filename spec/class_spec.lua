local class = require "suitkaise.class"
local errors = require "suitkaise.errors"
local helper = require "spec.helper"
local is = require "suitkaise.is"

describe("a class", function()
  it("makes objects and calls init with the arguments", function()
    local Dog = class "Dog"
    function Dog:init(name, age) self.name, self.age = name, age end
    local rex = Dog("rex", 3)
    assert.equal("rex", rex.name)
    assert.equal(3, rex.age)
  end)

  it("needs no init", function()
    assert.same({}, class "Empty"("ignored"))
  end)

  it("gives its methods and fields to its objects", function()
    local Dog = class "Dog"
    Dog.legs = 4
    function Dog:speak() return self.legs .. " woof" end
    assert.equal("4 woof", Dog():speak())
  end)

  it("is the metatable of its objects", function()
    local Dog = class "Dog"
    assert.equal(Dog, getmetatable(Dog()))
  end)

  it("has a text", function()
    assert.equal("class Dog", tostring(class "Dog"))
  end)

  it("needs a name", function()
    local ok, err = pcall(class)
    assert.is_false(ok)
    assert.equal("class: name must be a string, got nil", err.message)
  end)

  it("refuses a parent that is no class", function()
    local ok, err = pcall(class, "Dog", "Animal")
    assert.is_false(ok)
    assert.equal('class: parent must be a class or nil, got "Animal"',
                 err.message)
  end)
end)

describe("a class below another", function()
  local Animal, Dog

  before_each(function()
    Animal = class "Animal"
    function Animal:init(name) self.name = name end
    function Animal:speak() return self.name .. " speaks" end
    Dog = class("Dog", Animal)
  end)

  it("inherits methods and init", function()
    assert.equal("rex speaks", Dog("rex"):speak())
  end)

  it("overrides methods and can call those above", function()
    function Dog:speak() return Animal.speak(self) .. ": woof" end
    assert.equal("rex speaks: woof", Dog("rex"):speak())
    assert.equal("cat speaks", Animal("cat"):speak())
  end)

  it("sees methods that are added above later", function()
    local rex = Dog("rex")
    Animal.sleep = function() return "zzz" end
    assert.equal("zzz", rex:sleep())
  end)

  it("can be made by extend", function()
    local Puppy = Dog:extend "Puppy"
    assert.equal("class Puppy", tostring(Puppy))
    assert.equal("bo speaks", Puppy("bo"):speak())
    assert.is_true(Puppy("bo"):is_a(Animal))
  end)

  it("inherits metamethods, three levels down", function()
    function Animal.__tostring(a) return "animal " .. a.name end
    local Puppy = class("Puppy", class("Whelp", Animal))
    assert.equal("animal bo", tostring(Puppy("bo")))
  end)

  it("inherits metamethods that are defined after it", function()
    local Puppy = class("Puppy", Dog)
    function Animal.__tostring(a) return "animal " .. a.name end
    assert.equal("animal bo", tostring(Puppy("bo")))
  end)

  it("keeps its own metamethod when one comes above", function()
    function Dog.__tostring() return "dog" end
    function Animal.__tostring() return "animal" end
    assert.equal("dog", tostring(Dog("rex")))
  end)

  it("inherits every kind of operator", function()
    function Animal.__call(a, x) return a.name .. x end
    function Animal.__eq(a, b) return a.name == b.name end
    function Animal.__lt(a, b) return a.name < b.name end
    function Animal.__le(a, b) return a.name <= b.name end
    function Animal.__concat(a, b) return a.name .. b.name end
    function Animal.__add(a, b) return a.name .. "+" .. b.name end
    function Animal.__unm(a) return "-" .. a.name end
    local a, b = Dog("a"), Dog("b")
    assert.equal("ax", a("x"))
    assert.is_true(a == Dog("a"))
    assert.is_true(a < b)
    assert.is_true(a <= b)
    assert.equal("ab", a .. b)
    assert.equal("a+b", a + b)
    assert.equal("-a", -a)
  end)

  it("inherits __newindex and a computed __index", function()
    function Animal.__index(a, key)
      local method = Animal[key]
      if method ~= nil then return method end
      return key == "loud" and a.name:upper() or nil
    end
    function Animal.__newindex(a, key, value) rawset(a, key, value .. "!") end
    local Cat = class("Cat", Animal)
    Cat.purr = function() return "purr" end
    local tom = Cat("tom")
    assert.equal("TOM!", tom.loud)
    assert.equal("purr", tom:purr())
    assert.equal("tom! speaks", tom:speak())
  end)

  it("may be below a class of another kind", function()
    local Point = {}
    Point.__index = Point
    function Point.__tostring(p) return p:where() end
    function Point:where() return "at " .. self.x end
    local Pixel = class("Pixel", Point)
    function Pixel:init(x) self.x = x end
    local p = Pixel(3)
    assert.equal("at 3", tostring(p))
    assert.is_true(is(p, Point))
  end)

  it("is collected when nobody holds it", function()
    local held = setmetatable({ class("Gone", Animal) }, { __mode = "v" })
    held[2] = getmetatable(class("Child", class "Parent")).__index
    collectgarbage()
    collectgarbage()
    assert.is_nil(held[1])
    assert.is_nil(held[2])
  end)
end)

describe("an object of a class, sent and received", function()
  it("is one of a class like it", function()
    -- a program of its own: busted gives its tests an environment
    assert.equal("rex: woof,animal rex,true,class Dog,bo: woof,animal pip\n",
                 helper.run [[
      local sk = require "suitkaise"
      local Animal = sk.class "Animal"
      function Animal:init(name) self.name = name end
      function Animal:__tostring() return "animal " .. self.name end
      local Dog = sk.class("Dog", Animal)
      function Dog:speak() return self.name .. ": woof" end

      local rex = sk.cerial.deserialize(sk.cerial.serialize(Dog("rex")),
                                        { trusted = true })
      local Again = getmetatable(rex)
      print(table.concat({ rex:speak(), tostring(rex),
        tostring(rex:is_a "Animal"), tostring(Again), Again("bo"):speak(),
        tostring(Again:extend "Puppy"("pip")) }, ","))]])
  end)
end)

describe("asking for a class", function()
  local Animal = class "Animal"
  local Dog = class("Dog", Animal)

  it("is true for its own and those above, by class and by name", function()
    for _, ask in ipairs { Dog, "Dog", Animal, "Animal", "Object" } do
      assert.is_true(is(Dog(), ask))
      assert.is_true(Dog():is_a(ask))
    end
  end)

  it("is false for others", function()
    assert.is_false(is(Animal(), Dog))
    assert.is_false(is(Animal(), "Dog"))
    assert.is_false(is(Dog(), "Error"))
  end)

  it("is false for the class itself", function()
    assert.is_false(is(Dog, Dog))
    assert.is_false(is(Dog, Animal))
  end)

  it("works for classes written by hand", function()
    local Base = { __name = "Base" }
    Base.__index = Base
    local Below = setmetatable({}, { __index = Base })
    Below.__index = Below
    local object = setmetatable({}, Below)
    assert.is_true(is(object, Below))
    assert.is_true(is(object, Base))
    assert.is_true(is(object, "Base"))
  end)

  it("works for metatables apart from their methods", function()
    local Methods = {}
    local object = setmetatable({}, { __index = Methods })
    assert.is_true(is(object, Methods))
  end)

  it("ends when parents go in a circle", function()
    local A, B = {}, {}
    A.__index, B.__index = B, A
    assert.is_false(is(setmetatable({}, A), "Nothing"))
  end)

  it("works for errors", function()
    assert.is_true(is(errors.new("RunError", "x"), "ProcessError"))
  end)
end)
