-- A crawler: follows the links of a site, 50 requests at a time, in one
-- process and without threads. The site is a small server that the program
-- starts itself, on loopback; now and then it fails, so requests are tried
-- again.
--
--   luajit examples/crawler.lua [pages [at a time]]

local here = arg[0]:match "^.*/" or "./"
package.path = here .. "?.lua;" .. package.path

local sk = require "suitkaise"
local tcp = require "tcp"

local async = sk.async

local PAGES = tonumber(arg[1]) or 1000
local AT_A_TIME = tonumber(arg[2]) or 50
local ATTEMPTS = 5
local PATIENCE = 5 -- seconds for one attempt

-- ---- the site: page n links to pages 2n and 2n + 1 ----

local served, refused = 0, 0

local function page(n)
  local links = {}
  for _, target in ipairs { 2 * n, 2 * n + 1 } do
    if target <= PAGES then
      links[#links + 1] = ('<a href="/%d">page %d</a>'):format(target, target)
    end
  end
  return ("<h1>Page %d</h1>\n%s\n"):format(n, table.concat(links, "\n"))
end

-- Every tenth request or so ends without an answer, or in an error.
local function serve(stream)
  local path = (stream:read_line() or ""):match "^GET /(%d+)"
  served = served + 1
  async.sleep(0.001 * (served % 5))
  if served % 11 == 0 then
    refused = refused + 1
    if served % 2 == 0 then stream:write "HTTP/1.0 503 Busy\r\n\r\n" end
    return
  end
  stream:write("HTTP/1.0 200 OK\r\n\r\n" .. page(tonumber(path)))
end

-- ---- the crawler ----

local function get(port, path)
  local stream, err = tcp.connect("127.0.0.1", port)
  if not stream then error("cannot connect: " .. err, 0) end
  stream:write("GET " .. path .. " HTTP/1.0\r\n\r\n")
  local answer = stream:read_all()
  stream:close()
  local status, body = answer:match "^HTTP/1%.%d (%d+) .-\r\n\r\n(.*)$"
  if status ~= "200" then
    error("status " .. tostring(status) .. " of " .. path, 0)
  end
  return body
end

-- Try again, each time after a longer pause.
local function get_with_retry(port, path)
  for attempt = 1, ATTEMPTS do
    local ok, body = async.pcall(async.with_timeout, PATIENCE, get, port, path)
    if ok then return body end
    if attempt == ATTEMPTS then error(body, 0) end
    async.sleep(0.002 * 2 ^ attempt)
  end
end

-- All pages that can be reached from /1: their number, and all bytes.
local function crawl(port)
  local pool = async.TaskPool{ max_concurrent = AT_A_TIME }
  local frontier, found, done, bytes = async.Queue(), 1, 0, 0
  local progress = sk.Progress(PAGES):bar()
  frontier:put "/1"
  local next_page = pool:unordered_imap(function(path)
    return get_with_retry(port, path)
  end, function() return (frontier:get()) end)
  local body = next_page()
  while body do
    done, bytes = done + 1, bytes + #body
    progress:increment()
    for path in body:gmatch 'href="(/%d+)"' do
      found = found + 1
      frontier:put(path)
    end
    if done == found then frontier:close() end -- nothing left to find
    body = next_page()
  end
  pool:close()
  return done, bytes
end

async.run(function()
  local site = tcp.serve("127.0.0.1", 0, serve)
  local begun = async.now()
  local pages, bytes = crawl(site.port)
  local seconds = async.now() - begun
  site:close()
  print(("%d pages, %d bytes, %d requests of which %d were refused")
    :format(pages, bytes, served, refused))
  io.stderr:write(("%.2f s, %.0f pages a second\n")
    :format(seconds, pages / seconds))
end)
