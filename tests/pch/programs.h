// The same for programs without Catch2.
#include "tapegrad.h"
