# SPDX-License-Identifier: Apache-2.0
# Writes OUT with the version and, in a git checkout, the commit; only when its content changes.
execute_process(COMMAND git -C ${SOURCE} describe --always --dirty --abbrev=10
                OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
if(failed)
  set(commit "")
else()
  set(commit "+${commit}")
endif()
set(text "#define ASSAY_VERSION \"${VERSION}${commit}\"\n")
if(EXISTS ${OUT})
  file(READ ${OUT} old)
endif()
if(NOT "${old}" STREQUAL "${text}")
  file(WRITE ${OUT} "${text}")
endif()
