// What nearly every test includes, read by the compiler once per program (cpp_pch in tests/meson.build). Tests include
// what they use all the same: builds with -Db_pch=false need it.
#include "tapegrad.h"
#include "tests/catch.h"
