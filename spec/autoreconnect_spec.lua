-- autoreconnect: what an object holds of databases and files is connected
-- anew in its process.

local core = require "suitkaise.core"
local helper = require "spec.helper"
local sk = require "suitkaise"

local function raised(fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  return err
end

describe("autoreconnect of a SQLite file", function()
  local has_sqlite, luasql = pcall(require, "luasql.sqlite3")
  if not has_sqlite then return end
  local env, path, connection

  before_each(function()
    env, path = luasql.sqlite3(), os.tmpname()
    connection = assert(env:connect(path))
    assert(connection:execute "CREATE TABLE t (n)")
    assert(connection:execute "INSERT INTO t VALUES (41)")
  end)

  after_each(function()
    connection:close()
    collectgarbage()
    env:close()
    os.remove(path)
    helper.nothing_left()
  end)

  local function answer(db, query)
    local cursor = assert(db:execute(query))
    local value = cursor:fetch()
    cursor:close()
    return tonumber(value)
  end

  -- A class of processes that count in the database.
  local function counter(auth)
    local Count = sk.Skprocess:extend "Count"
    function Count:init(db)
      self.db, self.config.runs, self.original = db, 1, tostring(db)
    end
    function Count:__prerun__()
      self.is_new = tostring(self.db) ~= self.original
    end
    function Count:__run__()
      assert(self.db:execute "UPDATE t SET n = n + 1")
    end
    function Count:__result__()
      return { self.is_new, answer(self.db, "SELECT n FROM t"),
               type(self.db) }
    end
    return sk.autoreconnect(auth)(Count)
  end

  it("opens it in the child, before its first __prerun__", function()
    local p = counter{}(connection)
    assert.same({ true, 42, "userdata" }, p:run())
    assert.equal(connection, p.db)
    assert.equal(42, answer(connection, "SELECT n FROM t"))
  end)

  it("does so for each life", function()
    local Count = counter()
    function Count:__postrun__()
      if answer(self.db, "SELECT n FROM t") == 42 then core.exit(1) end
    end
    local p = Count(connection)
    p.config.lives = 2
    assert.same({ true, 43, "userdata" }, p:run())
  end)

  it("does so for what was synced, and for a child's children", function()
    local Count = counter()
    local p = Count(connection)
    p.config.join_in = 1
    assert.same({ true, 42, "userdata" }, p:run())
    assert.matches("Reconnector", tostring(p.db))
    assert.same({ true, 43, "userdata" }, p:run())
  end)

  it("makes no other database where the file is gone", function()
    local p = counter()(connection)
    os.remove(path)
    local err = raised(p.run, p)
    assert.is_true(sk.is(err, "PreRunError"))
    assert.matches("No such file", tostring(err.original_error))
    assert.is_nil(io.open(path))
  end)

  it("attaches no other database either", function()
    local other = os.tmpname()
    assert(connection:execute("ATTACH '" .. other .. "' AS other"))
    local p = counter()(connection)
    os.remove(other)
    local err = raised(p.run, p)
    assert.matches("No such file", tostring(err.original_error))
    assert.is_nil(io.open(other))
  end)

  it("holds for the classes below", function()
    local Below = counter():extend "Below"
    assert.same({ true, 42, "userdata" }, Below(connection):run())
  end)

  it("works in a Pool's workers", function()
    local pool = sk.Pool{ workers = 1 }
    local Count = counter()
    local got = pool:map(function(db) return Count(db):run() end,
                         { connection })
    assert.equal(42, got[1][2])
    pool:close()
  end)
end)

describe("autoreconnect", function()
  after_each(helper.nothing_left)

  -- A kind of live thing whose connections count, and want a password.
  local Link = { __name = "spec.autoreconnect.Link" }
  Link.__index = Link
  sk.cerial.resource(Link, {
    describe = function(link) return { to = link.to } end,
    connect = function(description, auth)
      if auth == "wrong" then return nil, "no entry" end
      if auth == "silent" then return nil end
      if auth == "stuck" then sk.sktime.sleep(30) end
      return setmetatable({ to = description.to, auth = auth }, Link)
    end,
  })
  local KIND = "spec.autoreconnect.Link"

  local function class_with(auth)
    local Holder = sk.Skprocess:extend "Holder"
    function Holder:init()
      self.config.runs = 1
      self.main = setmetatable({ to = "a" }, Link)
      self.more = { second = setmetatable({ to = "b" }, Link),
                    same = self.main }
    end
    function Holder.__run__() end
    function Holder:__result__()
      return { self.main.auth, self.more.second.auth,
               self.more.same == self.main }
    end
    return sk.autoreconnect(auth)(Holder)
  end

  it("gives each field what it needs to connect", function()
    local Holder = class_with{
      [KIND] = { ["*"] = "for all", second = "for that" },
    }
    assert.same({ "for all", "for that", true }, Holder():run())
  end)

  it("fails as __prerun__ when it cannot connect, and costs lives", function()
    local p = class_with{ [KIND] = "wrong" }()
    p.config.lives = 2
    local err = raised(p.run, p)
    assert.is_true(sk.is(err, "PreRunError"))
    assert.matches("no entry", tostring(err.original_error))
  end)

  it("says no more than there is to say", function()
    local p = class_with{ [KIND] = "silent" }()
    local err = raised(p.run, p)
    assert.matches(KIND .. ": cannot connect$", tostring(err.original_error))
  end)

  it("keeps to the limits of __prerun__, and of all", function()
    local p = class_with{ [KIND] = "stuck" }()
    p.config.timeouts.prerun = 0.1
    local err = raised(p.run, p)
    assert.is_true(sk.is(err, "ProcessTimeoutError"))
    assert.equal("prerun", err.section)
    assert.equal(0.1, err.timeout)
    p = class_with{ [KIND] = "stuck" }()
    p.config.time_limit, p.config.lives = 0.1, 3
    err = raised(p.run, p)
    assert.matches("went on after the time limit of 0.1 s", tostring(err))
  end)

  it("opens files anew at the same place", function()
    local path = os.tmpname()
    local file = assert(io.open(path, "w"))
    file:write "one\ntwo\n"
    file:close()
    file = assert(io.open(path))
    assert.equal("one", file:read "*l")
    local Reader = sk.autoreconnect()(sk.Skprocess:extend "Reader")
    function Reader:init() self.file, self.config.runs = file, 1 end
    function Reader:__run__() self.line = self.file:read "*l" end
    function Reader:__result__() return self.line end
    assert.equal("two", Reader():run())
    assert.equal("two", file:read "*l")
    file:close()
    os.remove(path)
  end)

  it("refuses what makes no sense", function()
    local err = raised(sk.autoreconnect, 5)
    assert.matches("autoreconnect: auth must be a table", tostring(err))
    err = raised(sk.autoreconnect, sk.Skprocess:extend "Forgotten")
    assert.matches("the class comes after it", tostring(err))
    for _, what in ipairs { 5, {}, sk.class "Other" } do
      err = raised(sk.autoreconnect{}, what)
      assert.matches("a class below Skprocess", tostring(err))
    end
  end)
end)
