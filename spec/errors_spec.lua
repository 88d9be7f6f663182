local errors = require "suitkaise.errors"
local options = require "suitkaise.options"
local sk_class = require "suitkaise.class"

local unpack = table.unpack or unpack

-- What fn raised, which must be an error.
local function caught(fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  return err
end

-- "file:line" of the line that is `offset` away from the one that calls this.
local function here(offset)
  local info = debug.getinfo(2, "Sl")
  return info.short_src .. ":" .. info.currentline + (offset or 0)
end

describe("an error", function()
  it("is a table with its fields and a message", function()
    local e = errors.new("TaskError", { message = "item 3", index = 3 })
    assert.equal("table", type(e))
    assert.equal("item 3", e.message)
    assert.equal(3, e.index)
    assert.equal("TaskError", e.name)
  end)

  it("may be made of the message alone", function()
    assert.equal("three", errors.new("QueueFullError", "three").message)
  end)

  it("has a message even when none is given", function()
    assert.equal("string", type(errors.new("RunError", {}).message))
    assert.equal("string", type(errors.new("RunError").message))
  end)

  it("is of its class, of the classes above, and of no other", function()
    local e = errors.new("RunError", "x")
    assert.is_true(errors.is(e, "RunError"))
    assert.is_true(errors.is(e, "ProcessError"))
    assert.is_true(errors.is(e, "Error"))
    assert.is_true(errors.is(e, errors.classes.ProcessError))
    assert.is_false(errors.is(e, "PreRunError"))
    assert.is_false(errors.is(e, "ShareError"))
  end)

  it("is the only thing that is one", function()
    local odd = setmetatable({}, { __metatable = "locked" })
    local values = { 1, "Error", true, {}, print, odd, io.stdout,
                     coroutine.create(function() end), setmetatable({}, {}) }
    for _, value in ipairs(values) do
      assert.is_false(errors.is(value, "Error"))
    end
    assert.is_false(errors.is(nil, "Error"))
  end)

  it("is refused when its class is unknown", function()
    local e = caught(errors.new, "NoSuchError", {})
    assert.is_true(errors.is(e, "ArgumentError"))
    assert.matches('"NoSuchError"', e.message, 1, true)
  end)

  it("can be asked for nothing but a class", function()
    assert.is_true(errors.is(caught(errors.is, {}, nil), "ArgumentError"))
  end)
end)

describe("the tree of errors", function()
  local parents = {
    ArgumentError = "Error", SerializationError = "Error",
    DeserializationError = "Error", TaskError = "Error",
    WorkerDiedError = "Error", ResultTimeoutError = "Error",
    ClosedError = "Error", TooManyProcessesError = "Error",
    QueueFullError = "Error", PipeClosedError = "Error",
    FunctionTimeoutError = "Error", CircuitBrokenError = "Error",
    Interrupted = "Error",
    ShareError = "Error", ShareFullError = "ShareError",
    ShareStoppedError = "ShareError", ShareTimeoutError = "ShareError",
    ShareDownError = "ShareError",
    ProcessError = "Error", PreRunError = "ProcessError",
    RunError = "ProcessError", PostRunError = "ProcessError",
    OnFinishError = "ProcessError", ResultError = "ProcessError",
    ErrorHandlerError = "ProcessError",
    ProcessTimeoutError = "ProcessError", ProcessDiedError = "ProcessError",
  }

  for name, parent in pairs(parents) do
    it("has " .. name .. " below " .. parent, function()
      assert.is_true(errors.is(errors.new(name), parent))
    end)
  end

  it("holds each class by name, as the metatable of its errors", function()
    for name, class in pairs(errors.classes) do
      assert.equal(class, getmetatable(errors.new(name)))
    end
  end)

  it("takes new classes", function()
    local class = errors.define("SpecError", "ShareError")
    assert.equal(class, errors.classes.SpecError)
    assert.is_true(errors.is(errors.new("SpecError"), "ShareError"))
    assert.equal(class, errors.define("SpecError", "ShareError"))
  end)

  it("keeps a class where it is", function()
    local e = caught(errors.define, "RunError", "Error")
    assert.is_true(errors.is(e, "ArgumentError"))
    assert.is_true(errors.is(errors.new("RunError"), "ProcessError"))
  end)

  it("takes classes of users below its own", function()
    local Mine = sk_class("Mine", errors.classes.RunError)
    local e = caught(errors.raise, Mine, "own", 0)
    assert.is_true(errors.is(e, "Mine"))
    assert.is_true(errors.is(e, "ProcessError"))
    assert.equal("Mine: own", tostring(e))
  end)
end)

describe("the text of an error", function()
  it("is one line with the class and the message", function()
    local e = errors.new("ClosedError", "pool is closed")
    assert.equal("ClosedError: pool is closed", tostring(e))
  end)

  it("begins with the place where it was raised", function()
    local e = caught(function()
      errors.raise("ClosedError", "gone") end)
    assert.equal(here(-1) .. ": ClosedError: gone", tostring(e))
  end)

  it("shows the causes below it", function()
    local e = errors.new("TaskError", {
      message = "item 3",
      original_error = errors.new("RunError", {
        message = "run 1", original_error = "boom.lua:1: no" }) })
    assert.equal("TaskError: item 3\n  caused by: RunError: run 1\n"
      .. "  caused by: boom.lua:1: no", tostring(e))
  end)

  it("shows any cause", function()
    local raising = setmetatable({}, { __tostring = function() error "no" end })
    local wrong = setmetatable({}, { __tostring = function() return {} end })
    for _, cause in ipairs { false, 7, print, raising, wrong } do
      local e = errors.new("TaskError", { message = "m",
                                          original_error = cause })
      assert.matches("^TaskError: m\n  caused by: .", tostring(e))
    end
  end)

  it("ends when an error is its own cause", function()
    local e = errors.new("TaskError", "round")
    e.original_error = e
    assert.is_true(#tostring(e) < 1000)
  end)

  it("shows a message that is no string", function()
    assert.matches("^TaskError: table: ",
                   tostring(errors.new("TaskError", { message = {} })))
  end)
end)

describe("raising", function()
  local function library(level)
    errors.raise("ArgumentError", "bad", level)
  end
  local library_line = here(-2)

  it("says where raise was called by default", function()
    assert.equal(library_line, caught(library).where)
  end)

  it("says where the caller is at level 2", function()
    local e = caught(function()
      library(2) end)
    assert.equal(here(-1), e.where)
  end)

  it("says no place at level 0", function()
    assert.is_nil(caught(library, 0).where)
  end)

  it("says no place when the caller is not Lua", function()
    assert.is_nil(caught(library, 2).where)
  end)

  it("finds who called the library when that is asked for", function()
    -- options.check and errors.argument are between
    local e = caught(function()
      options.check("Pool", { a = 1 }, { a = "string" }, "caller") end)
    assert.equal(here(-1), e.where)
    e = caught(function()
      options.check("Pool", { b = 1 }, { a = "string" }, "caller") end)
    assert.equal(here(-1), e.where)
    e = caught(options.check, "Pool", { b = 1 }, {}, "caller")
    assert.matches("errors_spec.lua:%d+$", e.where)
  end)

  it("keeps a place that is given", function()
    local e = caught(errors.raise, "Error", { message = "m", where = "x:1" })
    assert.equal("x:1", e.where)
  end)

  it("goes through coroutines unchanged", function()
    local e = errors.new("RunError", "inside")
    local co = coroutine.wrap(function()
      local inner = coroutine.wrap(function() error(e, 0) end)
      inner()
    end)
    assert.equal(e, caught(co))
  end)
end)

describe("an error, sent and received", function()
  local cerial = require "suitkaise.cerial"

  local function travel(e)
    return cerial.deserialize(cerial.serialize(e), { trusted = true })
  end

  it("is of its class and has its fields", function()
    local e = travel(errors.new("TaskError", {
      message = "item 3", index = 3,
      original_error = errors.new("RunError", "x") }))
    assert.equal(errors.classes.TaskError, getmetatable(e))
    assert.equal(3, e.index)
    assert.is_true(errors.is(e.original_error, "ProcessError"))
    assert.equal("TaskError: item 3\n  caused by: RunError: x", tostring(e))
  end)

  it("may be of a class that was added", function()
    errors.define("AddedError", "ShareError")
    assert.is_true(errors.is(travel(errors.new "AddedError"), "ShareError"))
  end)
end)

describe("refusing an argument", function()
  local function pool(workers)
    errors.argument("Pool", "workers", workers, "a whole number")
  end

  it("names the function, the argument and the value", function()
    assert.equal("Pool: workers must be a whole number, got 1.5",
                 caught(pool, 1.5).message)
  end)

  it("takes a position for a name", function()
    local e = caught(errors.argument, "f", 2, nil, "a string")
    assert.equal("f: argument 2 must be a string, got nil", e.message)
    assert.equal(2, e.argument)
  end)

  it("is at the line of the function's caller", function()
    local e = caught(function()
      pool(1.5) end)
    assert.equal(here(-1), e.where)
  end)
end)

describe("a value in a message", function()
  local cases = {
    { nil, "nil" }, { true, "true" }, { 3, "3" }, { 1.5, "1.5" },
    { 0.1, "0.1" }, { 2 ^ 53, "9007199254740992" }, { "abc", '"abc"' },
    { "a\n\"b\"\0", '"a\\10\\"b\\"\\0"' }, { {}, "table" },
    { print, "function" },
  }
  for i = 1, #cases do
    local value, text = unpack(cases[i], 1, 2)
    it("is shown as " .. text, function()
      local shown = errors.show(value)
      if value == 2 ^ 53 then shown = shown:gsub("%.0$", "") end
      assert.equal(text, shown)
    end)
  end

  it("is cut when it is long", function()
    assert.is_true(#errors.show(("x"):rep(1e6)) < 100)
  end)

  it("is a number to its last bit", function()
    assert.equal(0.1 + 0.2, tonumber(errors.show(0.1 + 0.2)))
  end)

  it("never calls a __tostring", function()
    local odd = setmetatable({}, { __tostring = function() error "called" end })
    assert.equal("table", errors.show(odd))
  end)

  it("is the class of an object that has one", function()
    assert.equal("Dog", errors.show(sk_class "Dog"()))
    assert.equal("RunError", errors.show(errors.new "RunError"))
  end)
end)
