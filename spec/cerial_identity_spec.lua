-- Classes that have no name are the same classes in all processes of a
-- program, so that objects that come back are still objects of theirs.

local core = require "suitkaise.core"
local helper = require "spec.helper"
local sk = require "suitkaise"

-- A class as people write them by hand.
local function hand_written(name)
  local Class = { __name = name }
  Class.__index = Class
  function Class:speak() return self.sound end
  return Class
end

local function caught(fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  return err
end

describe("a class without a name", function()
  local pool

  setup(function() pool = sk.Pool{ workers = 2 } end)
  teardown(function()
    pool:terminate()
    helper.nothing_left()
  end)

  it("is that of objects that a pool returns", function()
    for _, Dog in ipairs { sk.class "Dog", hand_written "Dog" } do
      local dogs = {}
      for i = 1, 10 do dogs[i] = setmetatable({ n = i }, Dog) end
      local back = pool:map(function(dog) return { dog, dog } end, dogs)
      for i = 1, 10 do
        assert.equal(Dog, getmetatable(back[i][1]))
        assert.equal(i, back[i][1].n)
        assert.equal(back[i][1], back[i][2])
      end
    end
  end)

  it("is one in a worker: of the function and of the items", function()
    for _, Dog in ipairs { sk.class "Dog", hand_written "Dog" } do
      local dog = setmetatable({}, Dog)
      local same = pool:map(function(d)
        return getmetatable(d) == Dog and require "suitkaise".is(d, Dog)
      end, { dog, dog, dog })
      assert.same({ true, true, true, n = 3 }, same)
    end
  end)

  it("is that of errors that workers raise", function()
    local Bad = sk.class("Bad", sk.errors.classes.Error)
    local Odd = hand_written "Odd"
    for _, class in ipairs { Bad, Odd } do
      local err = caught(pool.map, pool, function()
        error(setmetatable({ code = 7 }, class))
      end, { 1 })
      assert.is_true(sk.is(err.original_error, class))
      assert.equal(7, err.original_error.code)
    end
  end)

  it("is that of what its worker made, when it comes there again", function()
    local one = sk.Pool{ workers = 1 }
    local made = one:map(function()
      local Own = { __name = "Own" }
      Own.__index = Own
      debug.getregistry().kept_class = Own
      return setmetatable({}, Own)
    end, { 1 })[1]
    assert.is_true(one:map(function(object)
      return getmetatable(object) == debug.getregistry().kept_class
    end, { made })[1])
    one:close()
  end)

  it("is that of what a child tells, returns and raises", function()
    local Told = hand_written "Told"
    local Base = sk.class "Base"
    local Below = Base:extend "Below"
    local Child = sk.Skprocess:extend "Child"
    function Child:init() self.config.runs = 1 end
    function Child:__run__()
      local object = self:listen(20)
      self:tell(getmetatable(object) == Told)
      self:tell(setmetatable({ sound = "wuff" }, Told))
      error(Below())
    end
    local child = Child()
    child:start()
    child:tell(setmetatable({}, Told))
    assert.is_true(child:listen(20))
    local told = child:listen(20)
    assert.equal(Told, getmetatable(told))
    assert.equal("wuff", told:speak())
    local err = caught(child.result, child)
    assert.is_true(sk.is(err.original_error, Below))
    assert.is_true(sk.is(err.original_error, Base))
  end)

  it("that was changed since is another one there", function()
    local Dog = hand_written "Dog"
    local one = sk.Pool{ workers = 1 }
    local function speak(dog) return dog:speak() end
    local dog = setmetatable({ sound = "wuff" }, Dog)
    assert.equal("wuff", one:map(speak, { dog })[1])
    function Dog:speak() return self.sound .. "!" end
    assert.equal("wuff!", one:map(speak, { dog })[1])
    assert.equal(Dog, getmetatable(one:map(function(d) return d end,
                                           { dog })[1]))
    one:close()
  end)

  it("that the child has from its fork takes what was added later", function()
    local Dog = sk.class "Dog"
    local Child = sk.Skprocess:extend "Child"
    function Child:init() self.config.runs = 1 end
    function Child:__run__()
      local dog = self:listen(20)
      self:tell(dog:bark())
      self:tell(dog)
    end
    local child = Child()
    child:start()
    function Dog:bark() return "wuff" end -- luacheck: ignore 212
    child:tell(Dog())
    assert.equal("wuff", child:listen(20))
    assert.equal(Dog, getmetatable(child:listen(20)))
    child:wait(20)
  end)

  it("may refer to itself, and come in every place", function()
    local Node = hand_written "Node"
    Node.root = setmetatable({}, Node)
    Node.class = Node
    setmetatable(Node, { __index = { inherited = 5 } })
    local back = pool:map(function(node)
      return { node, getmetatable(node), node.root, [getmetatable(node)] = 1,
               deep = { { { getmetatable(node) } } } }
    end, { setmetatable({}, Node) })[1]
    assert.equal(Node, getmetatable(back[1]))
    assert.equal(Node, back[2])
    assert.equal(Node, getmetatable(back[3]))
    assert.equal(1, back[Node])
    assert.equal(Node, back.deep[1][1][1])
    assert.equal(5, back[1].inherited)
  end)

  it("is whole after a message that broke off in it", function()
    local Dog = hand_written "Dog"
    local bytes = core.cerial_encode(setmetatable({ sound = "wuff" }, Dog),
                                     nil, nil, nil, true)
    assert.equal("wuff", pool:map(function(message)
      local cerial = require "suitkaise".cerial
      for n = 1, #message - 1 do
        pcall(cerial.deserialize, message:sub(1, n), { trusted = true })
      end
      return cerial.deserialize(message, { trusted = true }):speak()
    end, { bytes })[1])
  end)

  it("is not sent with its identity in bytes for anybody", function()
    local Dog = hand_written "Dog"
    local cerial = sk.cerial
    local bytes = cerial.serialize(setmetatable({}, Dog))
    local copy = cerial.deserialize(bytes, { trusted = true })
    assert.are_not.equal(Dog, getmetatable(copy))
    assert.equal(bytes, cerial.serialize(setmetatable({}, Dog)))
  end)

  it("is refused in bytes that are not trusted", function()
    local bytes = core.cerial_encode(setmetatable({}, hand_written "Dog"),
                                     nil, nil, nil, true)
    local err = caught(sk.cerial.deserialize, bytes)
    assert.is_true(sk.is(err, "DeserializationError"))
  end)

  it("is found at any depth, and in slices", function()
    local Dog = hand_written "Dog"
    local deep = setmetatable({}, Dog)
    for _ = 1, 200 do deep = { setmetatable({ deep }, Dog), Dog } end
    local bytes = core.cerial_encode(deep, nil, nil, nil, true)
    local function check(back)
      for _ = 1, 200 do
        assert.equal(Dog, back[2])
        assert.equal(Dog, getmetatable(back[1]))
        back = back[1][1]
      end
      assert.equal(Dog, getmetatable(back))
    end
    check(sk.cerial.deserialize(bytes, { trusted = true }))
    sk.async.run(function()
      check(sk.async.cerial.deserialize(bytes, { trusted = true }))
    end)
  end)

  it("makes no reader fall over rubbish", function()
    local Dog = { __name = "Dog" } -- no methods: wrong bytecode may do harm
    Dog.__index = Dog
    Dog.list = { Dog, setmetatable({}, Dog) }
    local bytes = core.cerial_encode({ Dog, Dog.list, { [Dog] = Dog } },
                                     nil, nil, nil, true)
    local changes = { 0x00, 0x60, 0xD1, 0xE7, 0xEB, 0xFC, 0xFD, 0xFF }
    for at = 5, #bytes do
      for _, byte in ipairs(changes) do
        local other = bytes:sub(1, at - 1) .. string.char(byte)
          .. bytes:sub(at + 1)
        local ok, err = pcall(sk.cerial.deserialize, other,
                              { trusted = true })
        assert.is_true(ok or sk.is(err, "DeserializationError"))
      end
      local err = caught(sk.cerial.deserialize, bytes:sub(1, at - 1),
                         { trusted = true })
      assert.is_true(sk.is(err, "DeserializationError"))
    end
  end)
end)
