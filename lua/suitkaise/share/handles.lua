-- The classes of proxies, for a process that reads a handle before it has
-- loaded anything of Share: the names in the bytes lead here.
require "suitkaise.share"
return require "suitkaise.share.travel"
