# SPDX-License-Identifier: Apache-2.0
# The language and the compiler's flags, for every build of Assay's sources.
set(CMAKE_C_STANDARD 17)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
add_compile_definitions(_GNU_SOURCE)
# gcc cannot know that assay_error_set returns the status it is given, so its -Wmaybe-uninitialized sees paths that do not exist.
# Tables leave out the fields that are zero.
add_compile_options(-Wall -Wextra -Wno-missing-field-initializers -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wundef
                    $<$<C_COMPILER_ID:GNU>:-Wno-maybe-uninitialized> -fno-math-errno -ffp-contract=off)
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g")
set(CMAKE_C_FLAGS_DEBUG "-O1 -g -fno-omit-frame-pointer")
