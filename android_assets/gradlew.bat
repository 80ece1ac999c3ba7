@echo off
rem Starts the Gradle of gradle\wrapper\gradle-wrapper.properties, which is fetched the first time. Needs Java 17.
setlocal
set "JAVA=java"
if defined JAVA_HOME set "JAVA=%JAVA_HOME%\bin\java.exe"
"%JAVA%" -Xmx64m -Dorg.gradle.appname=gradlew -jar "%~dp0gradle\wrapper\gradle-wrapper.jar" %*
exit /b %ERRORLEVEL%
