std = "max"
max_line_length = 80
cache = false

files["spec"] = { std = "max+busted" }
-- Rockspecs and LDoc's configuration are tables of globals.
files["rockspec"] = { std = "+rockspec" }
