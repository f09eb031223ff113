# Stands in for the macros that Slicer gives to extensions.

set(BUILD_TESTING ON) # Slicer's default; here a test is only checked to be there

function(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(MODULE "WITH_GENERIC_TESTS;WITH_SUBDIR;VERBOSE" "NAME" "SCRIPTS;RESOURCES" ${ARGN})
  if(MODULE_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "Unknown arguments: ${MODULE_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT MODULE_NAME)
    message(FATAL_ERROR "A scripted module needs a NAME")
  endif()

  set(copies)
  foreach(file IN LISTS MODULE_SCRIPTS MODULE_RESOURCES)
    set(source "${CMAKE_CURRENT_SOURCE_DIR}/${file}")
    if(NOT EXISTS "${source}" AND EXISTS "${source}.py") # scripts may be listed without their ending
      string(APPEND file ".py")
      string(APPEND source ".py")
    endif()
    if(NOT EXISTS "${source}" OR IS_DIRECTORY "${source}")
      message(FATAL_ERROR "${MODULE_NAME} lists a file that is not there: ${file}")
    endif()
    set(copy "${CMAKE_BINARY_DIR}/${Slicer_QTSCRIPTEDMODULES_LIB_DIR}/${file}")
    add_custom_command(
      OUTPUT "${copy}"
      DEPENDS "${source}"
      COMMAND "${CMAKE_COMMAND}" -E copy "${source}" "${copy}"
      COMMENT "Copying ${file}"
      VERBATIM)
    list(APPEND copies "${copy}")
    get_filename_component(folder "${file}" DIRECTORY)
    install(FILES "${copy}" DESTINATION "${Slicer_QTSCRIPTEDMODULES_LIB_DIR}/${folder}")
  endforeach()
  add_custom_target(${MODULE_NAME} ALL DEPENDS ${copies})
endfunction()

function(slicer_add_python_unittest)
  cmake_parse_arguments(TEST "" "SCRIPT;TESTNAME_PREFIX" "SLICER_ARGS" ${ARGN})
  if(TEST_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "Unknown arguments: ${TEST_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${TEST_SCRIPT}")
    message(FATAL_ERROR "A test is not there: ${TEST_SCRIPT}")
  endif()
endfunction()
