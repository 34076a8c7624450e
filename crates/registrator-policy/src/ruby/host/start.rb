require 'etc'
require 'json'
require 'logger'
require 'rbconfig'
