// Loads a shared object that uses the library, runs it, drops it, and all that again: load OBJECT
#include <dlfcn.h>

#include <cstdio>

int main(int, char** arguments) {
  for (int round = 0; round < 2; ++round) {
    void* object = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL);
    void* run = object ? dlsym(object, "run_consumer") : nullptr;
    if (!run) {
      std::fprintf(stderr, "%s\n", dlerror());
      return 1;
    }
    if (const int status = reinterpret_cast<int (*)()>(run)()) return status;
    if (dlclose(object)) return 1;
  }
}
