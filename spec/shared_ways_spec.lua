-- Counter, Flag and Progress in one program: which implementation it takes,
-- whether both agree, how they travel, what ends a wait.
local classes = require "suitkaise.shared.classes"
local core = require "suitkaise.core"
local ffi_path = require "suitkaise.shared.ffi"
local helper = require "spec.helper"
local is = require "suitkaise.is"

local has_ffi = rawget(_G, "jit") ~= nil and pcall(require, "ffi")

local function elapsed(fn)
  local start = core.now()
  fn()
  return core.now() - start
end

describe("a shared type in cerial's bytes", function()
  local cerial = require "suitkaise.cerial"
  local shared = require "suitkaise.shared"

  after_each(helper.nothing_left)

  for _, options in ipairs { { trusted = true }, {} } do
    local how = options.trusted and "trusted" or "not trusted"

    it("is the same word afterwards, " .. how, function()
      local counter = shared.Counter(1)
      local value = { counter, shared.Flag(true), shared.Progress(4), counter }
      local copy = cerial.deserialize(cerial.serialize(value), options)
      copy[1]:increment()
      assert.equal(2, counter.value)
      assert.is_true(rawequal(copy[1], copy[4]))
      assert.is_true(copy[2].value)
      assert.equal(4, copy[3].total)
      assert.is_true(is(copy[3], "Progress"))
    end)
  end

  it("may be captured by a function", function()
    assert.equal("2 2\n", helper.run [[
      local sk = require "suitkaise"
      local counter = sk.Counter(1)
      local copy = sk.cerial.deserialize(sk.cerial.serialize(function()
        return counter:increment()
      end), { trusted = true })
      print(copy() .. " " .. counter.value)]])
  end)

  -- What another program reads from a counter in these bytes.
  local function read_elsewhere(bytes)
    local name = os.tmpname()
    local file = io.open(name, "wb")
    file:write(bytes)
    file:close()
    local text = helper.run([[
      local file = io.open("]] .. name .. [[", "rb")
      local _, value = pcall(require "suitkaise.cerial".deserialize,
                             file:read "*a", { trusted = true })
      print(type(value) == "userdata" and value:increment() or value)]])
    os.remove(name)
    return text
  end

  it("is found by another program while one that has it lives", function()
    local counter = shared.Counter(1)
    assert.equal("2\n", read_elsewhere(cerial.serialize(counter)))
    assert.equal(2, counter.value)
  end)

  it("is refused when no program has it any more", function()
    local bytes = helper.run [[
      local sk = require "suitkaise"
      io.write(sk.cerial.serialize(sk.Counter(1)))]]
    assert.matches("DeserializationError: .*another program",
                   read_elsewhere(bytes))
  end)
end)

if has_ffi then
  describe("the two implementations", function()
    after_each(helper.nothing_left)

    local ways = {
      C = classes.make(), FFI = classes.make(assert(ffi_path.load(true))),
    }

    local function same(a, b)
      return type(a) == type(b) and tostring(a) == tostring(b)
    end

    it("do the same with random operations", function()
      math.randomseed(7)
      local c = { ways.C.Counter(), ways.FFI.Counter() }
      local names = { "increment", "decrement", "set" }
      for step = 1, 3000 do
        local name = names[math.random(#names)]
        local n = (math.random() - 0.5) * 2 ^ math.random(0, 66)
        if math.random() < 0.9 then n = math.floor(n) end
        local ok1, got1 = pcall(c[1][name], c[1], n)
        local ok2, got2 = pcall(c[2][name], c[2], n)
        local where = ("step %d: %s(%.17g)"):format(step, name, n)
        assert.equal(ok1, ok2, where)
        if ok1 then
          assert.is_true(same(got1, got2), where)
        else
          assert.equal(got1.message, got2.message)
        end
        assert.is_true(same(c[1].value, c[2].value), where)
        assert.equal(tostring(c[1]), tostring(c[2]))
      end
    end)
  end)
end

describe("shared memory that is used up", function()
  after_each(helper.nothing_left)

  it("is an error, and what is there goes on", function()
    local output = helper.run([[
      local sk = require "suitkaise"
      local first, err = sk.Counter(1), nil
      for _ = 1, 1e6 do
        local ok
        ok, err = pcall(sk.Counter)
        if not ok then break end
      end
      print(first:increment(), sk.is(err, "Error"), err.message)]], nil,
      "trap '' XFSZ; ulimit -f 4000")
    assert.matches("^2%s+true%s+Counter: shared memory: .+\n$", output)
  end)
end)

describe("the choice of the implementation", function()
  after_each(helper.nothing_left)

  -- What a new interpreter says of it, after `before`.
  local function choice(before, options)
    return helper.run(before .. [[

      local ok, why = require "suitkaise.shared.ffi".load()
      local c = require "suitkaise.shared".Counter(1)
      assert(c:increment(2) == 3 and c.value == 3 and tostring(c) == "3")
      assert(not pcall(c.increment, c, 0.5))
      io.write(ok and "ffi" or "c: " .. tostring(why))]], options)
  end

  if has_ffi then
    it("is FFI on LuaJIT", function()
      assert.equal("ffi", choice "")
    end)

    it("is C when the JIT is off", function()
      assert.equal("c: the JIT is off", choice("jit.off()"))
      assert.equal("c: the JIT is off", choice("", "-joff"))
    end)

    it("is C when there is no ffi", function()
      assert.equal("c: no ffi", choice [[
        package.loaded.ffi = nil
        package.preload.ffi = function() error "none" end]])
    end)

    it("is C when the library is not found by its path", function()
      assert.matches("^c: ", choice [[
        require "suitkaise.core"
        package.cpath = "./nowhere/?.so"]])
    end)

    it("is C when another library is found", function()
      assert.matches("^c: .*another library", choice [[
        local core = require "suitkaise.core"
        core.cell_add_address = core.cell_add_address + 16]])
    end)

    it("lets numbers beyond 2^53 be exact without the JIT", function()
      assert.equal("9007199254740993LL", helper.run([[
        local c = require "suitkaise.shared".Counter(2 ^ 53)
        io.write(tostring(c:increment()))]], "-joff"))
    end)

    it("rounds numbers beyond 2^53 where there is no ffi", function()
      assert.equal("number 9007199254740994", helper.run [[
        package.loaded.ffi = nil
        package.preload.ffi = function() error "none" end
        local c = require "suitkaise.shared".Counter(2 ^ 53)
        c:increment()
        local n = c:increment()
        io.write(type(n), " ", ("%.0f"):format(n))]])
    end)
  else
    it("is C on PUC Lua", function()
      assert.equal("c: not LuaJIT", choice "")
    end)
  end
end)

describe("a wait", function()
  after_each(helper.nothing_left)

  it("is ended by Ctrl-C", function()
    local name = os.tmpname()
    local file = io.open(name, "w")
    file:write [[
      local sk = require "suitkaise"
      local flag = sk.Flag()
      print(sk.getpid())
      io.stdout:flush()
      flag:wait(20)
      print "not interrupted"]]
    file:close()
    local pipe = io.popen("LUA_PATH='" .. package.path .. "' LUA_CPATH='"
      .. package.cpath .. "' exec " .. helper.interpreter .. " " .. name
      .. " 2>&1")
    local pid = pipe:read "*l"
    local took = elapsed(function()
      os.execute("kill -INT " .. pid)
      assert.matches("interrupted!", pipe:read "*a")
    end)
    pipe:close()
    os.remove(name)
    assert.is_true(took < 10)
  end)
end)
