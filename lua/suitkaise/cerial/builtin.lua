--- The live things that cerial knows by itself: files, LuaSocket's TCP
-- clients, luasql's connections.
-- @module suitkaise.cerial.builtin
-- @local

local core = require "suitkaise.core"
local resources = require "suitkaise.cerial.resources"
local each = require "suitkaise.each"

-- ---- files ----

resources.add("file", "FILE*", {
  describe = function(file)
    local path, mode, position = core.cerial_file(file)
    if not path then return nil, mode end
    return { path = path, mode = mode, position = position }
  end,
  connect = function(description)
    local file, why = io.open(description.path, description.mode)
    if not file then return nil, why end
    file:seek("set", description.position)
    return file
  end,
})

-- ---- LuaSocket ----

resources.add("socket.tcp", "tcp{client}", {
  describe = function(socket)
    local host, port = socket:getpeername()
    if not host then return nil, port end
    local description = { host = host, port = tonumber(port) }
    if socket.gettimeout then
      description.timeout, description.total = socket:gettimeout()
    end
    return description
  end,
  connect = function(description)
    local socket, why = require("socket").tcp()
    if not socket then return nil, why end
    socket:settimeout(description.timeout)
    if description.total and description.total >= 0 then
      socket:settimeout(description.total, "t")
    end
    local ok
    ok, why = socket:connect(description.host, description.port)
    if not ok then return nil, why end
    return socket
  end,
})

local function refuse(why)
  return function() return nil, why end
end

for _, name in ipairs { "tcp{server}", "tcp{master}", "udp{connected}",
                        "udp{unconnected}" } do
  resources.add("socket." .. name, name, {
    describe = refuse "only a connected TCP client can be made again",
    connect = refuse "only a connected TCP client can be made again",
  })
end

-- ---- luasql ----

-- Every row of a query's answer.
local function ask(connection, query)
  local cursor, why = connection:execute(query)
  if type(cursor) ~= "userdata" then
    error(tostring(why or "the connection is closed"), 0)
  end
  local rows = {}
  repeat
    local row = cursor:fetch({}, "a")
    rows[#rows + 1] = row
  until not row
  cursor:close()
  return rows
end

local ENOENT = 2

local function describe_sqlite(connection)
  local description = { attached = {} }
  for _, row in ipairs(ask(connection, "PRAGMA database_list")) do
    if row.name ~= "temp" and row.file == "" then
      return nil, "an in-memory database lives in its process only"
    end
    if row.name == "main" then description.path = row.file
    elseif row.name ~= "temp" then
      description.attached[row.name] = row.file
    end
  end
  return description
end

local function quote(text, mark)
  return mark .. text:gsub(mark, mark .. mark) .. mark
end

-- SQLite makes a file that is missing, empty: that would be another database.
local function is_missing(path)
  local file, why, code = io.open(path, "rb")
  if file then file:close() end
  return code == ENOENT, why
end

local function attach(connection, name, path)
  local missing, why = is_missing(path)
  if missing then return nil, why end
  return connection:execute("ATTACH " .. quote(path, "'") .. " AS "
                            .. quote(name, '"'))
end

local function connect_sqlite(description)
  local missing, why = is_missing(description.path)
  if missing then return nil, why end
  local env = require("luasql.sqlite3").sqlite3()
  local connection
  connection, why = env:connect(description.path)
  if not connection then return nil, why end
  for name, path in each(description.attached) do
    local ok
    ok, why = attach(connection, name, path)
    if not ok then
      connection:close()
      return nil, why
    end
  end
  return connection
end

resources.add("luasql.sqlite3", "SQLite3 connection", {
  describe = describe_sqlite, connect = connect_sqlite,
})

-- Where the server listens for local clients; only some roles may know.
local function socket_folder(connection)
  local ok, rows = pcall(ask, connection, "SHOW unix_socket_directories")
  return ok and rows[1].unix_socket_directories:match "^%s*([^,]+)" or nil
end

local function describe_postgres(connection)
  local row = ask(connection, "SELECT current_database() AS database, "
    .. "session_user AS username, host(inet_server_addr()) AS host, "
    .. "inet_server_port() AS port, current_setting('port') AS local_port")[1]
  return {
    database = row.database, user = row.username,
    host = row.host or socket_folder(connection),
    port = tonumber(row.port or row.local_port),
  }
end

resources.add("luasql.postgres", "PostgreSQL connection", {
  describe = describe_postgres,
  connect = function(description, auth)
    local given = type(auth) == "table" and auth or { password = auth }
    local env = require("luasql.postgres").postgres()
    return env:connect(description.database, given.user or description.user,
                       given.password, given.host or description.host,
                       given.port or description.port)
  end,
})
