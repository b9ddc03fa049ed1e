c++ -std=c++20 main.cpp -o consumer $(pkg-config --cflags tapegrad) \
  -Wl,-Bstatic $(pkg-config --static --libs tapegrad) -Wl,-Bdynamic
