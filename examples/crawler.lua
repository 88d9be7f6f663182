-- A crawler: follows the links of a site, 50 requests at a time, in one
-- process and without threads. The site is a small server that the program
-- starts itself, on loopback. Now and then it fails, so requests are tried
-- again; once it is down for a while, so a circuit breaker lets it recover.
--
--   luajit examples/crawler.lua [pages [at a time]]

local here = arg[0]:match "^.*/" or "./"
package.path = here .. "?.lua;" .. package.path

local sk = require "suitkaise"
local tcp = require "tcp"

local async = sk.async

local PAGES = tonumber(arg[1]) or 1000
local AT_A_TIME = tonumber(arg[2]) or 50
local PATIENCE = 5 -- seconds for one attempt
local OUTAGE = 3 * AT_A_TIME -- requests that come while the site is down

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

-- Every tenth request or so is refused, and all while the site is down.
local function is_refused(number)
  local since = number - PAGES / 2
  return number % 11 == 0 or since >= 0 and since < OUTAGE
end

-- What is refused ends without an answer, or in an error.
local function serve(stream)
  local path = (stream:read_line() or ""):match "^GET /(%d+)"
  served = served + 1
  local number = served
  async.sleep(0.001 * (number % 5))
  if is_refused(number) then
    refused = refused + 1
    if number % 2 == 0 then stream:write "HTTP/1.0 503 Busy\r\n\r\n" end
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

-- Ten failures in a row: the site is down, so nobody asks it for a moment.
local breaker = async.Circuit{
  num_shorts_to_trip = 10, consecutive = true,
  sleep_time_after_trip = 0.02, auto_reset = true,
}

-- Tried again, each time after a longer pause, also while the circuit is open.
local get_page = sk.skf(function(port, path)
  return breaker:call(async.with_timeout, PATIENCE, get, port, path)
end):retry{ times = 10, delay = 0.004, backoff_factor = 2, jitter = 0.5 }
    :asynced()

-- All pages that can be reached from /1: their number, and all bytes.
local function crawl(port)
  local pool = async.TaskPool{ max_concurrent = AT_A_TIME }
  local frontier, found, done, bytes = async.Queue(), 1, 0, 0
  local progress = sk.Progress(PAGES):bar()
  frontier:put "/1"
  local next_page = pool:unordered_imap(function(path)
    return get_page(port, path)
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
  print(("%d pages, %d bytes, %d requests of which %d were refused, "
    .. "%d trips of the breaker"):format(pages, bytes, served, refused,
                                        breaker.total_trips))
  io.stderr:write(("%.2f s, %.0f pages a second\n")
    :format(seconds, pages / seconds))
end)
