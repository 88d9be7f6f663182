-- What takes long or a server: a real PostgreSQL, many mutations, the fuzzer.
local cerial = require "suitkaise.cerial"
local errors = require "suitkaise.errors"
local mutate = require "spec.fuzz.mutate"
local shared_helper = require "spec.helper"

local ROUNDS = 1000000
local FUZZ_SECONDS = 60
local PASSWORD = "hunter2 is secret"

local function run(command)
  local pipe = io.popen("(" .. command .. ") 2>&1; echo status=$?")
  local text = pipe:read "*a"
  pipe:close()
  return tonumber(text:match "status=(%d+)%s*$") == 0, text
end

describe("a million mutations", function()
  it("give values or DeserializationErrors", function()
    local random = mutate.generator(os.time())
    local seeds = mutate.seeds()
    for i = 1, ROUNDS do
      local bytes = mutate.change(seeds[i % #seeds + 1], random)
      local ok, err = pcall(cerial.deserialize, bytes)
      if not ok and not errors.is(err, "DeserializationError") then
        error(("%q: %s"):format(bytes, tostring(err)))
      end
    end
  end)
end)

describe("the fuzzer", function()
  -- it brings its own Lua, and needs one round rather than one for each
  if shared_helper.lua ~= "luajit" then return end

  for _, lua in ipairs { "lua5.4", "luajit" } do
    it("finds nothing in the decoder for " .. lua, function()
      local ok, text = run(("make fuzz-cerial FUZZ_LUA=%s FUZZ_SECONDS=%d "
        .. "BUILD='%s'"):format(lua, FUZZ_SECONDS,
                                os.getenv "BUILD" or "build"))
      assert.is_true(ok, text)
    end)
  end
end)

-- ---- PostgreSQL: a cluster of its own in a folder of its own ----

local has_postgres, luasql = pcall(require, "luasql.postgres")

local function bin()
  local pipe = io.popen "ls -d /usr/lib/postgresql/*/bin 2>/dev/null"
  local folder = pipe:read "*l"
  pipe:close()
  return folder
end

-- PostgreSQL does not run as root.
local function as_owner(command)
  local _, id = run "id -u"
  if id:match "^0" then
    return run(("runuser -u postgres -- sh -c '%s'")
      :format((command:gsub("'", "'\\''"))))
  end
  return run(command)
end

describe("PostgreSQL", function()
  local folder, port, env

  setup(function()
    assert.is_true(has_postgres, "lua-sql-postgres is not installed")
    local programs = assert(bin(), "PostgreSQL is not installed")
    folder = os.tmpname()
    os.remove(folder)
    port = 20000 + os.time() % 20000
    local secret = folder .. "/secret"
    local ok, text = as_owner(table.concat({
      "umask 077; mkdir " .. folder .. " && cd " .. folder,
      'echo "' .. PASSWORD .. '" > ' .. secret,
      programs .. "/initdb -D " .. folder .. "/data -U game -A scram-sha-256 "
        .. "--pwfile=" .. secret,
      programs .. "/pg_ctl -D " .. folder .. "/data -w -l " .. folder
        .. '/log -o "-p ' .. port .. " -c listen_addresses=127.0.0.1 "
        .. "-c unix_socket_directories=" .. folder .. '" start',
    }, " && "))
    assert.is_true(ok, text)
    env = luasql.postgres()
  end)

  teardown(function()
    if env then env:close() end
    as_owner(bin() .. "/pg_ctl -D " .. folder .. "/data -m immediate stop")
    as_owner("rm -rf " .. folder)
  end)

  local function connect()
    return assert(env:connect("postgres", "game", PASSWORD, "127.0.0.1",
                              port))
  end

  local function answer(connection, query)
    local cursor = assert(connection:execute(query))
    local value = cursor:fetch()
    cursor:close()
    return value
  end

  it("connections are made again with the password of auth", function()
    local connection = connect()
    local job = cerial.deserialize(cerial.serialize {
      analytics_db = connection, also = { connection },
    })
    cerial.reconnect_all(job, {
      ["luasql.postgres"] = { ["*"] = "wrong", analytics_db = PASSWORD,
                              [1] = PASSWORD },
    })
    assert.equal("game", answer(job.analytics_db, "SELECT session_user"))
    assert.equal(job.analytics_db, job.also[1])
    job.analytics_db:close()
    connection:close()
  end)

  it("no password is in the bytes", function()
    local connection = connect()
    local bytes = cerial.serialize { connection }
    assert.is_nil(bytes:find(PASSWORD, 1, true))
    assert.is_nil(bytes:find("hunter2", 1, true))
    assert.is_not_nil(bytes:find("game", 1, true))
    connection:close()
  end)

  it("a wrong password is an error", function()
    local connection = connect()
    local back = cerial.deserialize(cerial.serialize(connection))
    local ok, why = pcall(cerial.reconnect_all, back,
                          { ["luasql.postgres"] = "wrong" })
    assert.is_false(ok)
    assert.matches("password", tostring(why), 1, true)
    connection:close()
  end)

  it("closed connections are refused", function()
    local connection = connect()
    connection:close()
    local ok, err = pcall(cerial.serialize, { db = connection })
    assert.is_false(ok)
    assert.is_true(errors.is(err, "SerializationError"))
  end)
end)
