require 'etc'
require 'json'
require 'logger'
