-- Live things: files, sockets, databases, and what a program teaches.
local cerial = require "suitkaise.cerial"
local helper = require "spec.cerial_helper"
local nothing_left = require("spec.helper").nothing_left
local resources = require "suitkaise.cerial.resources"

local function copy(value)
  return cerial.deserialize(cerial.serialize(value)) -- no trust needed
end

describe("files", function()
  local path

  before_each(function()
    path = os.tmpname()
    local file = assert(io.open(path, "w"))
    file:write "0123456789\n"
    file:close()
  end)

  after_each(function()
    os.remove(path)
    nothing_left()
  end)

  it("are opened again where they were", function()
    local file = io.open(path)
    file:read(4)
    local back = copy { log = file }
    assert.equal("Reconnector", getmetatable(back.log).__name)
    cerial.reconnect_all(back)
    assert.equal("456789", back.log:read())
    back.log:close()
    file:close()
  end)

  it("are one file where they were one", function()
    local file = io.open(path)
    local back = cerial.reconnect_all(copy { file, { file } })
    assert.equal(back[1], back[2][1])
    back[1]:close()
    file:close()
  end)

  it("that are written to are not emptied", function()
    local file = io.open(path, "r+")
    file:seek("set", 3)
    file:write "x"
    local back = cerial.reconnect_all(copy(file))
    back:write "y"
    back:close()
    file:close()
    local all = io.open(path)
    assert.equal("012xy56789", all:read())
    all:close()
  end)

  it("that are appended to stay so", function()
    local file = io.open(path, "a")
    local back = cerial.reconnect_all(copy(file))
    back:seek("set", 0)
    back:write "end"
    back:close()
    file:close()
    local all = io.open(path)
    assert.equal("0123456789\nend", all:read "*a")
    all:close()
  end)

  it("without a path are refused", function()
    local file = io.open(path)
    os.remove(path)
    local err = helper.error_of("SerializationError", cerial.serialize,
                                { file })
    assert.matches("no path", err.message, 1, true)
    file:close()
    err = helper.error_of("SerializationError", cerial.serialize, { file })
    assert.matches("closed", err.message, 1, true)
  end)

  it("that are pipes are refused", function()
    local pipe = io.popen "true"
    local err = helper.error_of("SerializationError", cerial.serialize, pipe)
    assert.matches("no regular file", err.message, 1, true)
    pipe:close()
  end)

  it("that are standard streams go by name", function()
    local bytes = cerial.serialize { io.stdout, io.stderr }
    local back = cerial.deserialize(bytes, helper.TRUST)
    assert.equal(io.stdout, back[1])
    assert.equal(io.stderr, back[2])
  end)

  it("that are gone cannot be connected", function()
    local file = io.open(path)
    local back = copy { f = file }
    file:close()
    os.remove(path)
    local ok, why = pcall(cerial.reconnect_all, back)
    assert.is_false(ok)
    assert.matches(path, tostring(why), 1, true)
  end)
end)

describe("LuaSocket", function()
  local has_socket, socket = pcall(require, "socket")
  if not has_socket then return end
  after_each(nothing_left)

  it("clients connect again", function()
    local server = assert(socket.bind("127.0.0.1", 0))
    local _, port = server:getsockname()
    local client = assert(socket.connect("127.0.0.1", port))
    client:settimeout(3)
    local back = cerial.reconnect_all(copy { link = client })
    local first, second = server:accept(), server:accept()
    second:send "hello\n"
    assert.equal("hello", back.link:receive())
    for _, s in ipairs { back.link, first, second, client, server } do
      s:close()
    end
  end)

  it("servers are refused", function()
    local server = assert(socket.bind("127.0.0.1", 0))
    local err = helper.error_of("SerializationError", cerial.serialize,
                                { server })
    assert.matches("TCP client", err.message, 1, true)
    server:close()
  end)
end)

describe("luasql", function()
  local has_sqlite, luasql = pcall(require, "luasql.sqlite3")
  if not has_sqlite then return end
  local env, path

  before_each(function()
    env, path = luasql.sqlite3(), os.tmpname()
  end)

  after_each(function()
    collectgarbage()
    env:close()
    os.remove(path)
  end)

  local function answer(connection, query)
    local cursor = assert(connection:execute(query))
    local value = cursor:fetch()
    cursor:close()
    return value
  end

  it("SQLite files are opened again", function()
    local connection = env:connect(path)
    connection:execute "CREATE TABLE t (n)"
    connection:execute "INSERT INTO t VALUES (42)"
    local job = { db = connection, also = { connection } }
    local back = cerial.reconnect_all(copy(job))
    assert.equal("42", tostring(answer(back.db, "SELECT n FROM t")))
    assert.equal(back.db, back.also[1])
    back.db:close()
    connection:close()
  end)

  it("attached SQLite files are attached again", function()
    local other = os.tmpname()
    local connection = env:connect(path)
    connection:execute("ATTACH '" .. other .. "' AS extra")
    connection:execute "CREATE TABLE extra.t (n)"
    local back = cerial.reconnect_all(copy(connection))
    assert.equal("0", tostring(answer(back, "SELECT count(*) FROM extra.t")))
    back:close()
    connection:close()
    os.remove(other)
  end)

  it("in-memory SQLite is refused", function()
    local connection = env:connect ":memory:"
    local err = helper.error_of("SerializationError", cerial.serialize,
                                { db = connection })
    assert.equal("db", err.path)
    assert.matches("in-memory", err.message, 1, true)
    connection:close()
  end)

  it("closed connections are refused", function()
    local connection = env:connect(path)
    connection:close()
    local err = helper.error_of("SerializationError", cerial.serialize,
                                { db = connection })
    assert.matches("closed", err.message, 1, true)
  end)
end)

describe("resource", function()
  local Link = {}
  Link.__index = Link
  Link.__name = "spec.Link"
  local opened

  before_each(function()
    opened = {}
    cerial.resource(Link, {
      describe = function(link)
        if link.url == "" then return nil, "it has no url" end
        return { url = link.url }
      end,
      connect = function(description, auth)
        opened[#opened + 1] = { description.url, auth }
        if auth == "wrong" then return nil, "access denied" end
        return setmetatable({ url = description.url }, Link)
      end,
    })
  end)

  local function link(url)
    return setmetatable({ url = url, password = "hunter2" }, Link)
  end

  it("carries what describe tells and no password", function()
    local bytes = cerial.serialize { db = link "db://x" }
    assert.is_nil(bytes:find("hunter2", 1, true))
    assert.is_not_nil(bytes:find("db://x", 1, true))
    local back = cerial.deserialize(bytes)
    assert.equal("spec.Link", back.db.kind)
    assert.same({ url = "db://x" }, back.db.description)
  end)

  it("chooses the secret by field, then by kind", function()
    local back = copy { analytics_db = link "1", other = { link "2" } }
    cerial.reconnect_all(back, {
      ["spec.Link"] = { ["*"] = "default", analytics_db = "mine" },
    })
    table.sort(opened, function(a, b) return a[1] < b[1] end)
    assert.same({ { "1", "mine" }, { "2", "default" } }, opened)
    assert.equal(Link, getmetatable(back.other[1]))
  end)

  it("is found in upvalues and as the value itself", function()
    local db = link "up"
    local f = helper.copy(function() return db end)
    cerial.reconnect_all(f, { ["spec.Link"] = { db = "secret" } })
    assert.equal("up", f().url)
    assert.same({ "up", "secret" }, opened[1])
    local root = cerial.reconnect_all(copy(db), { ["spec.Link"] = "s" })
    assert.equal(Link, getmetatable(root))
    assert.same({ "up", "s" }, opened[2])
  end)

  it("connects once for each thing", function()
    local db = link "once"
    local back = cerial.reconnect_all(copy { db, { db }, x = db })
    assert.equal(1, #opened)
    assert.equal(back[1], back.x)
    assert.equal(back[1], back[2][1])
  end)

  it("says why it cannot be described or connected", function()
    local err = helper.error_of("SerializationError", cerial.serialize,
                                { x = link "" })
    assert.matches("x: spec.Link cannot be serialized: it has no url",
                   err.message, 1, true)
    local ok, why = pcall(cerial.reconnect_all, copy { link "u" },
                          { ["spec.Link"] = "wrong" })
    assert.is_false(ok)
    assert.matches("access denied", tostring(why), 1, true)
  end)

  it("leaves a Reconnector alone that nobody reconnects", function()
    local back = copy { link "x" }
    local again = copy(back)
    assert.equal(resources.Reconnector, getmetatable(again[1]))
  end)

  it("checks what it is taught", function()
    helper.error_of("ArgumentError", cerial.resource, 1, {})
    helper.error_of("ArgumentError", cerial.resource, "x", {})
    helper.error_of("ArgumentError", cerial.resource, {}, {
      describe = print, connect = print,
    })
    helper.error_of("ArgumentError", cerial.reconnect_all, {}, 1)
  end)
end)
